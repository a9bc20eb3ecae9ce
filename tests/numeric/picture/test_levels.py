"""Numbers of more than 8 bits become levels by the range asked for, stated by the file, or found in its data."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from shared.errors import WARNINGS
from tests.numeric.pictures import encoded
from worker.core.picture.decode import decode
from worker.core.types import Limits, Reading


def shades(data: bytes, wish: str | None = None, reading: Reading | None = None) -> list[Any]:
    """The levels of the first row: numbers of a grey picture, else triples."""
    row = np.asarray(decode(data, Limits(), reading=reading or Reading(range=wish)))[0]
    return row[:, 0].tolist() if (row == row[:, :1]).all() else row.tolist()


def file(values: Any, kind: type, form: str = "TIFF") -> bytes:
    return encoded(Image.fromarray(np.array([values], kind)), form)


def tiff(values: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, np.asarray(values), **options)
    return target.getvalue()


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return png[:33] + chunk + png[33:]


def deep_png(values: np.ndarray[Any, Any], colour: int) -> bytes:
    """One row of 16 bits a channel."""
    found = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", values.shape[1], 1, 16, colour, 0, 0, 0)
    rows = zlib.compress(b"\0" + values.astype(">u2").tobytes())
    for name, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        found += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return found


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("wish", "levels"),
    [
        (None, [0, 85, 170, 255]),
        ("data", [0, 85, 170, 255]),
        ("full", [4, 8, 12, 16]),
        ("1000:3000", [0, 128, 255, 255]),
        ("0:4000", [64, 128, 191, 255]),
    ],
)
def test_sixteen_bits_by_each_range(form: str, wish: str | None, levels: list[int]) -> None:
    """1000, 2000, 3000, 4000 of 65535, by hand; the file says nothing of its range."""
    assert shades(file([1000, 2000, 3000, 4000], np.uint16, form), wish) == levels


def test_the_bits_that_a_png_stores_are_its_range() -> None:
    """The chunk sBIT; --range data goes before it."""
    png = with_chunk(file([0, 1000, 2000], np.uint16, "PNG"), b"sBIT", b"\x0c")

    assert shades(png) == [0, 62, 125]
    assert shades(png, "data") == [0, 128, 255]


def test_the_range_that_a_tiff_states_is_its_range() -> None:
    """MaxSampleValue; and 12 bits that are packed as such."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 4000
    stated = encoded(Image.fromarray(np.array([[0, 1000, 2000]], np.uint16)), "TIFF", tiffinfo=tags)
    assert shades(stated) == [0, 64, 128]

    packed = tiff(np.array([[0, 2047, 2048, 1000]], np.uint16), bitspersample=16)
    head = bytearray(packed)  # 0, 2047, 2048 and 1000 in 12 bits each, by hand
    entries = {found.code: found.valueoffset for found in tifffile.TiffFile(io.BytesIO(packed)).pages[0].tags}
    struct.pack_into("<H", head, entries[258], 12)
    at = tifffile.TiffFile(io.BytesIO(packed)).pages[0].dataoffsets[0]
    head[at : at + 6] = bytes.fromhex("0007ff8003e8")
    struct.pack_into("<H", head, entries[279], 6)
    assert shades(bytes(head)) == [0, 127, 128, 62]


@pytest.mark.parametrize(
    ("kind", "values", "full"),
    [
        (np.uint16, [0, 32768, 65535], [0, 128, 255]),
        (np.int16, [-32768, 0, 32767], [0, 128, 255]),
        (np.uint32, [0, 2**31, 2**32 - 1], [0, 128, 255]),
        (np.int32, [-(2**31), 0, 2**31 - 1], [0, 128, 255]),
        (np.float32, [0, 0.5, 1], [0, 128, 255]),
        (np.float64, [0, 0.5, 1], [0, 128, 255]),
        (np.uint64, [0, 2**63, 2**64 - 1], [0, 128, 255]),
    ],
)
def test_full_is_the_range_of_the_type_and_data_that_uses_it_is_the_same(kind: type, values: Any, full: Any) -> None:
    """Of every type that a TIFF has."""
    data = tiff(np.array([values], kind))

    assert shades(data, "full") == full
    assert shades(data) == full


def test_white_may_be_zero() -> None:
    """In a TIFF of 16 bits as in one of floats."""
    for kind in (np.uint16, np.float32):
        assert shades(tiff(np.array([[0, 500, 1000]], kind), photometric="miniswhite")) == [255, 127, 0]


def test_what_was_not_measured_is_no_darkest_number() -> None:
    """The number that GDAL writes into a TIFF for it, and NaN: both black, and left out of the range."""
    tag = [(42113, "s", 0, "-9999", True)]

    assert shades(tiff(np.array([[-9999, 10, 20]], np.float32), extratags=tag)) == [0, 0, 255]
    assert shades(tiff(np.array([[np.nan, 10, 20]], np.float32))) == [0, 0, 255]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "TIFF lzw", "TIFF separate"])
def test_colours_of_16_bits_keep_all_their_bits(form: str) -> None:
    """12-bit data in three channels of 16, which Pillow alone would make black; the channels share a range."""
    values = np.array([[[0, 1000, 4000], [4000, 2000, 0], [200, 400, 100]]], np.uint16)
    expected = np.rint(values / 4000 * 255).astype(int)[0].tolist()
    if form == "PNG":
        data = deep_png(values, 2)
    elif form == "TIFF separate":
        data = tiff(values.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    else:
        data = tiff(values, photometric="rgb", compression="lzw" if "lzw" in form else None)

    assert shades(data) == expected
    assert max(max(pixel) for pixel in shades(data, "full")) in (15, 16)


def test_a_photograph_that_uses_its_16_bits_is_as_ever() -> None:
    """Its upper bytes."""
    values = np.array([[[0, 1000, 65535], [30000, 2000, 0]]], np.uint16)

    assert shades(tiff(values, photometric="rgb")) == (values >> 8)[0].tolist()


def test_opacity_of_16_bits_lies_over_white() -> None:
    """It has its own range, whatever that of the colours."""
    values = np.array([[[0, 1000, 4000, 65535], [0, 0, 0, 0], [4000, 4000, 4000, 32896]]], np.uint16)

    assert shades(tiff(values, photometric="rgb", extrasamples=["unassalpha"])) == [
        [0, 64, 255],
        [255, 255, 255],
        [255, 255, 255],
    ]


def test_grey_of_16_bits_with_opacity_keeps_all_its_bits() -> None:
    """12-bit data, opaque, half opaque (over white) and transparent."""
    values = np.array([[[0, 65535], [1000, 65535], [4000, 65535], [0, 32896], [4000, 0]]], np.uint16)

    assert shades(deep_png(values, 4)) == [0, 64, 255, 127, 255]


def test_a_nearly_black_picture_says_so() -> None:
    """Never silently: the warning has the range, and the way."""
    reading = Reading(range="full")
    assert shades(file([0, 4095], np.uint16), reading=reading) == [0, 16]

    (warning,) = reading.warnings
    assert warning.code == "dark"
    assert warning.code in WARNINGS
    assert "16 of 255 where 0 is black and 65535 white; --range data" in warning.message
    bright = Reading()
    assert shades(file([0, 4095], np.uint16), reading=bright) == [0, 255]
    assert bright.warnings == []


def test_eight_bits_are_never_stretched() -> None:
    """Levels are levels."""
    data = encoded(Image.fromarray(np.array([[10, 20, 30]], np.uint8)), "PNG")

    for wish in (None, "data", "full", "10:30"):
        assert shades(data, wish) == [10, 20, 30]
