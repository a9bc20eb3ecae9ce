"""What Pillow does not read by itself: TIFFs of many bands by tifffile, HEIC by pillow-heif."""

import io
import struct
import sys
from typing import Any

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageSequence, MpoImagePlugin

from shared.errors import WARNINGS, ImageError
from tests.numeric.pictures import encoded, photo, turned
from tests.support.pictures.dicoms import dicom
from worker.core.picture import libraries
from worker.core.picture.decode import decode
from worker.core.types import Limits, Reading

LIMITS = Limits()
RNG = np.random.default_rng(17)


def pixels(data: bytes, **wishes: Any) -> np.ndarray[Any, Any]:
    return np.asarray(decode(data, LIMITS, reading=Reading(**wishes))).astype(int)


def failure(data: bytes, **wishes: Any) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, LIMITS, reading=Reading(**wishes))
    return caught.value


def tiff(values: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, values, **options)
    return target.getvalue()


# TIFF


@pytest.mark.parametrize("bands", [4, 5, 13])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "form",
    [{}, {"compression": "lzw", "predictor": True}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}],
    ids=str,
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_of_many_bands_the_first_three_are_taken(bands: int, kind: type, form: dict[str, Any], planar: str) -> None:
    """And the result says so, whatever their numbers, compression and order."""
    values = RNG.integers(0, 200, (20, 30, bands))
    values[0, 0, :2] = 0, 200
    reading = Reading(range="0:200")
    stored = (values if planar == "contig" else values.transpose(2, 0, 1)).astype(kind)
    options = {**form, "predictor": False} if planar == "separate" and kind == np.float32 else form
    data = tiff(stored, photometric="minisblack", planarconfig=planar, **options)
    found = np.asarray(decode(data, LIMITS, reading=reading)).astype(int)

    expected = values[..., :3] if kind == np.uint8 else np.rint(values[..., :3] / 200 * 255)
    assert np.abs(found - expected).max() <= (0 if kind == np.uint8 else 1)
    assert [(warning.code, str(bands) in warning.message) for warning in reading.warnings] == [("bands", True)]
    assert "bands" in WARNINGS


def test_a_fourth_band_that_is_no_opacity_is_left_out() -> None:
    """Near infrared beside red, green and blue, which Pillow would lay over white; one that is opacity counts."""
    values = RNG.integers(0, 255, (8, 8, 4)).astype(np.uint8)
    reading = Reading()
    found = np.asarray(decode(tiff(values, photometric="rgb", extrasamples=["unspecified"]), LIMITS, reading=reading))

    assert (found == values[..., :3]).all()
    assert [warning.code for warning in reading.warnings] == ["bands"]
    opaque = Reading()
    decode(tiff(values, photometric="rgb", extrasamples=["unassalpha"]), LIMITS, reading=opaque)
    assert opaque.warnings == []


@pytest.mark.parametrize("kind", [np.uint16, np.float16, np.float32, np.float64, np.int16, np.uint32])
def test_three_bands_of_any_numbers_are_a_picture(kind: type) -> None:
    """Called RGB or not."""
    values = RNG.integers(0, 1000, (20, 30, 3))
    values[0, 0, :2] = 0, 1000
    for photometric in ("rgb", "minisblack"):
        data = tiff(values.astype(kind), photometric=photometric, planarconfig="contig")
        assert np.abs(pixels(data) - values / 1000 * 255).max() <= 1


def test_a_big_tiff_is_a_tiff() -> None:
    """Whatever is in it."""
    values = RNG.integers(0, 255, (8, 8, 3)).astype(np.uint8)

    assert (pixels(tiff(values, photometric="rgb", bigtiff=True)) == values).all()


def test_pages_are_counted_from_one() -> None:
    """Of TIFF, GIF, and of what tifffile reads; one that is not there says how many are."""
    stack = [np.full((8, 8), shade, np.uint8) for shade in (10, 20, 30)]
    frames = [Image.fromarray(page) for page in stack]
    files = [
        tiff(np.stack(stack), photometric="minisblack"),
        tiff(np.stack([np.dstack([page] * 5) for page in stack]), photometric="minisblack", planarconfig="contig"),
        encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        dicom(np.stack(stack), bits=8),
    ]
    for data in files:
        assert [pixels(data, page=page)[0, 0, 0] for page in (None, 1, 2, 3)] == [10, 10, 20, 30]
        error = failure(data, page=4)
        assert (error.code, error.message) == ("not_found", "there is no page 4: the file has 3, counted from 1")
    assert failure(encoded(photo(), "JPEG"), page=2).code == "not_found"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"photometric": "cielab"}, "CIELAB"),
        ({"photometric": "cfa"}, "a camera's raw file"),
        ({"photometric": "separated", "extrasamples": []}, "SEPARATED"),
    ],
)
def test_a_tiff_of_no_colours_is_named_with_the_way(options: dict[str, Any], word: str) -> None:
    """Not damaged: of a kind that is not read."""
    bands = 3 if options["photometric"] == "cielab" else 4
    shape = (8, 8) if options["photometric"] == "cfa" else (8, 8, bands)
    error = failure(tiff(np.zeros(shape, np.float32 if bands == 4 and shape != (8, 8) else np.uint16), **options))

    assert error.code == "unsupported"
    assert word in error.message


def test_complex_numbers_and_raw_files_are_unsupported() -> None:
    """The picture that a raw file's first page holds is only its preview."""
    assert "gdal_translate" in failure(tiff(np.zeros((8, 8), np.complex64))).message
    preview = tiff(np.zeros((8, 8, 3), np.uint8), photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    assert failure(preview).code == "unsupported"
    assert "develop it" in failure(preview).message


@pytest.mark.parametrize("part", [0.05, 0.3, 0.9])
def test_a_tiff_of_many_bands_that_ends_early_is_truncated(part: float) -> None:
    """Wherever it ends."""
    data = tiff(RNG.integers(0, 9, (64, 64, 5)).astype(np.uint16), photometric="minisblack", planarconfig="contig")

    assert failure(data[: int(part * len(data))]).code == "truncated"


def test_without_the_codecs_of_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compression that tifffile alone does not have."""
    data = tiff(np.zeros((8, 8, 5), np.uint16), photometric="minisblack", planarconfig="contig", compression="lzw")
    known = tifffile.TIFF.DECOMPRESSORS
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {1: known[1]}, raising=False)

    error = failure(data)
    assert error.code == "unsupported"
    assert "compression LZW" in error.message
    assert "pip install 'camq[tiff]'" in error.message


# HEIC, AVIF, MPO


def heic(picture: Image.Image, **options: Any) -> bytes:
    pillow_heif.register_heif_opener()
    return encoded(picture, "HEIF", quality=95, **options)


def test_a_heic_is_its_picture_upright() -> None:
    """As a telephone writes it: turned, and with others behind it."""
    assert np.abs(pixels(heic(photo())) - np.asarray(photo())).mean() < 3
    stored = photo(64, 40)
    lying = heic(stored.transpose(Image.Transpose.ROTATE_90), exif=_orientation(6))
    assert decode(lying, LIMITS).size == (64, 40)
    both = heic(photo(), save_all=True, append_images=[photo().transpose(Image.Transpose.ROTATE_180)])
    assert np.abs(pixels(both, page=2) - np.asarray(photo())[::-1, ::-1]).mean() < 3


def _orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def test_a_heic_that_ends_early_is_truncated() -> None:
    """Not unknown."""
    data = heic(photo(200, 200))

    assert failure(data[: len(data) // 2]).code == "truncated"


def test_an_avif_needs_no_extra() -> None:
    """Pillow has it; also where its first brand is that of the whole family."""
    data = encoded(photo(), "AVIF", quality=95)
    assert np.abs(pixels(data) - np.asarray(photo())).mean() < 2
    family = data[:8] + b"mif1" + data[12:]
    assert (pixels(family) == pixels(data)).all()


@pytest.mark.parametrize("library", ["pillow_heif", "pydicom", "tifffile"])
def test_what_is_missing_is_named_with_its_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what cannot be loaded, why; other pictures are read as ever."""
    data = {
        "pillow_heif": heic(photo()),
        "pydicom": dicom(np.zeros((8, 8), np.uint16)),
        "tifffile": tiff(np.zeros((8, 8, 5), np.uint16), photometric="minisblack", planarconfig="contig"),
    }[library]
    extra = libraries.EXTRAS[library]
    monkeypatch.setattr(libraries, "_INSTALLED", set())
    error = failure(data)
    assert error.code == "unsupported"
    assert f"pip install 'camq[{extra}]' where the worker runs" in error.message

    monkeypatch.setattr(libraries, "_INSTALLED", {library})
    monkeypatch.setattr(libraries, "_loaded", set())
    monkeypatch.setattr(libraries, "_broken", {})
    monkeypatch.setitem(sys.modules, library, None)
    error = failure(data)
    assert error.code == "unsupported"
    assert f"camq[{extra}], which cannot be loaded: ModuleNotFoundError" in error.message
    assert pixels(encoded(photo(), "PNG")).shape == (40, 60, 3)


def test_an_mpo_is_its_first_picture() -> None:
    """As cameras write their previews, and others by their number; Ultra HDR, whose second is a map of gains."""
    others = [photo().transpose(Image.Transpose.ROTATE_180)]
    data = encoded(photo(), "MPO", save_all=True, append_images=others)
    with Image.open(io.BytesIO(data)) as opened:
        assert isinstance(opened, MpoImagePlugin.MpoImageFile)
        frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(opened)]

    assert (pixels(data) == frames[0]).all()
    assert (pixels(data, page=2) == frames[1]).all()
    plain = encoded(photo(), "JPEG")
    marker = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta hdrgm:Version='1.0'/>"
    ultra = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(marker) + 2) + marker + plain[2:] + data
    assert (pixels(ultra) == pixels(plain)).all()


def test_a_turned_tiff_of_floats_is_upright() -> None:
    """Orientation and profile are not lost on the way through tifffile."""
    values = np.zeros((4, 6, 3), np.float32)
    data = tiff(values, photometric="rgb", extratags=[(274, 3, 1, 6, True)])

    assert decode(data, LIMITS).size == (4, 6)
    assert decode(turned(photo(), 6, "TIFF"), LIMITS).size == photo().size


def test_a_bomb_is_refused_by_its_header_and_one_with_many_bytes_a_pixel_asks_for_them() -> None:
    """Before anything is decoded, by whichever library."""
    small = bytearray(tiff(np.zeros((8, 8, 5), np.float64), photometric="minisblack", planarconfig="contig"))
    page = tifffile.TiffFile(io.BytesIO(small)).pages[0]
    for code in (256, 257):
        struct.pack_into("<I", small, page.tags[code].valueoffset, 60_000)
        struct.pack_into("<H", small, page.tags[code].offset + 2, 4)
    assert failure(bytes(small)).code == "too_large"
    assert failure(dicom(np.zeros((8, 8), np.uint16), Rows=60_000, Columns=60_000)).code == "too_large"

    asked: list[int] = []
    decode(
        tiff(np.zeros((100, 100, 5), np.float64), photometric="minisblack", planarconfig="contig"), LIMITS, asked.append
    )
    decode(heic(photo(100, 100)), LIMITS, asked.append)
    assert asked[0] * 12 >= 100 * 100 * 3 * 8
    assert asked[1:] == [100 * 100]
