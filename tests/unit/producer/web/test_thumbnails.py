"""Thumbnails: upright, small, and with nothing of the bytes they were made from."""

import io

import numpy as np
import pytest
from PIL import Image

from producer.web.kit import thumbnails
from producer.web.kit.thumbnails import thumbnail
from shared.pictures import COMMON_FORMATS


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.mark.parametrize("kind", COMMON_FORMATS)
def test_a_picture_of_each_format_becomes_a_small_webp(kind: str) -> None:
    """The longest side is as asked, the shape stays."""
    small = opened(thumbnail(encoded(Image.new("RGB", (200, 100), "red"), kind), 50))

    assert (small.format, small.size) == ("WEBP", (50, 25))


def test_a_small_picture_keeps_its_size() -> None:
    """Enlarging would only add bytes."""
    assert opened(thumbnail(encoded(Image.new("RGB", (20, 10))), 50)).size == (20, 10)


def test_a_thumbnail_is_upright() -> None:
    """The orientation of a camera is applied, and not repeated in the answer."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    small = opened(thumbnail(encoded(Image.new("RGB", (200, 100)), "JPEG", exif=exif), 50))

    assert small.size == (25, 50)
    assert not small.getexif()


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_numbers_are_stretched_as_workers_stretch_them(kind: type) -> None:
    """From the least to the greatest: 12 bits in 16 are not black."""
    ramp = np.repeat(np.linspace(1000, 4095, 64).astype(kind)[None], 64, axis=0)
    levels = np.asarray(opened(thumbnail(encoded(Image.fromarray(ramp), "TIFF"), 64)))

    assert levels[:, :4].max() < 20
    assert levels[:, -4:].min() > 235


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "F", "CMYK"])
def test_every_mode_has_a_thumbnail(mode: str) -> None:
    """Grey, palette, transparent, deep and print pictures are shown as well."""
    assert opened(thumbnail(encoded(Image.new(mode, (8, 6)), "TIFF" if mode != "P" else "PNG"), 50)).mode == "RGB"


def test_transparent_parts_are_white() -> None:
    """As on paper; black would hide dark drawings."""
    small = opened(thumbnail(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), 8))

    assert min(small.getpixel((4, 4))) > 250


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<script>alert(1)</script>",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        encoded(Image.effect_noise((64, 64), 50))[:500],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        encoded(Image.new("RGB", (8, 6)), "TGA"),
    ],
    ids=["nothing", "markup", "no picture", "cut off", "PostScript", "another format"],
)
def test_what_is_no_picture_has_no_thumbnail(data: bytes) -> None:
    """Neither an exception nor a decoder beyond the listed ones."""
    assert thumbnail(data, 50) is None


def test_a_picture_above_the_limit_has_no_thumbnail(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by the size it states, before its pixels are decoded."""
    monkeypatch.setattr(thumbnails, "MAX_PIXELS", 99)

    assert thumbnail(encoded(Image.new("RGB", (10, 10))), 50) is None


def test_nothing_of_the_input_is_in_the_answer() -> None:
    """A page that poses as a picture, in its comment and behind its end, is gone."""
    hostile = encoded(Image.new("RGB", (9, 9)), "JPEG", comment=b"<script>") + b"<script>alert(1)</script>"

    assert b"<script>" not in (thumbnail(hostile, 50) or b"<script>")
