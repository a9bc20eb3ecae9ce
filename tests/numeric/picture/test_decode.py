"""Bytes of any format → an upright RGB picture in sRGB."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.numeric.pictures import encoded, in_mode, one_of_each, photo, turned
from worker.core.picture.decode import FORMATS, decode
from worker.core.types import Limits

LIMITS = Limits()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, LIMITS)).astype(int)


# Formats and modes


def test_every_format_in_every_mode_becomes_an_rgb_picture_without_metadata() -> None:
    """What Pillow can write and decode by itself, camq reads."""
    for name, data in one_of_each().items():
        picture = decode(data, LIMITS)

        expected = {"ICO": (32, 21), "ICNS": (1024, 1024)}.get(name.split()[0], (60, 40))
        assert (name, picture.mode, picture.size, picture.info) == (name, "RGB", expected, {})
    assert len(one_of_each()) > 130
    assert {name.split()[0] for name in one_of_each()} <= set(FORMATS)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG2000", "BMP", "TGA", "PPM"])
def test_colours_survive_the_format(kind: str) -> None:
    """The picture that went in comes out, to the loss of the format."""
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}}.get(kind, {})
    difference = np.abs(pixels(encoded(photo(), kind, **options)) - np.asarray(photo()))

    assert difference.mean() < (1.5 if kind == "AVIF" else 1e-9)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV"])
def test_other_colour_models_come_back_to_the_same_colours(mode: str) -> None:
    """TIFF or WebP in another colour model shows the same picture."""
    kind = "TIFF" if mode != "HSV" else "WEBP"
    options = {"lossless": True} if kind == "WEBP" else {}

    assert np.abs(pixels(encoded(in_mode(photo(), mode), kind, **options)) - np.asarray(photo())).mean() < 4


def test_lab_is_converted_by_its_meaning() -> None:
    """L*=100 is white, L*=0 is black."""
    lab = Image.merge("LAB", [Image.new("L", (2, 1), 255), Image.new("L", (2, 1), 128), Image.new("L", (2, 1), 128)])
    lab.putpixel((1, 0), (0, 128, 128))

    np.testing.assert_allclose(pixels(encoded(lab, "TIFF"))[0], [[255] * 3, [0] * 3], atol=3)


def test_inverted_cmyk_of_adobe_is_not_a_negative() -> None:
    """Pillow writes CMYK JPEGs as Adobe does, inverted; white paper stays white."""
    paper = Image.new("CMYK", (16, 16), (0, 0, 0, 0))

    assert pixels(encoded(paper, "JPEG")).min() >= 254


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    """65535 is white, 257 is one level, and half is half."""
    deep = Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16))

    assert pixels(encoded(deep, kind))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_data_of_fewer_bits_than_its_file_has_is_not_black(bits: int, dtype: type, kind: str) -> None:
    """X-ray detectors, microscopes and archives write 10, 12 or 14 bits into files of 16: their white is white."""
    white = 2**bits - 1
    shades = Image.fromarray(np.array([[0, white // 2, white]], dtype))

    low, middle, high = pixels(encoded(shades, kind))[0, :, 0].tolist()
    assert (low, high) == (0, 255)
    assert middle in (127, 128)


def test_a_big_endian_portable_greymap_of_16_bits_is_scaled() -> None:
    """A greymap says itself what white is."""
    data = b"P5 3 1 1000\n" + np.array([0, 500, 1000], ">u2").tobytes()

    assert pixels(data)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, 2048.0, 4095.0], [0, 128, 255]),
        ([0.0, 32768.0, 65535.0], [0, 128, 255]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
        ([np.nan, 1.0, np.inf], [0, 255, 0]),
        ([7e5, 7e5, 7e5], [255, 255, 255]),
    ],
)
def test_floats_find_their_white(values: list[float], levels: list[int]) -> None:
    """The range of the values is stretched; where they are all the same, 0 is black and 1 white."""
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")

    assert pixels(data)[0, :, 0].tolist() == levels


def test_32_bit_integers_do_not_overflow() -> None:
    """The whole range of int32 is stretched over the greys."""
    data = encoded(Image.fromarray(np.array([[-(2**31), 0, 2**31 - 1]], np.int32)), "TIFF")

    assert pixels(data)[0, :, 0].tolist() == [0, 128, 255]


# Transparency, frames, orientation, profiles


def test_transparency_lies_over_white() -> None:
    """Alpha 0 is white, 255 the colour, 51 a fifth of it: hand-computed."""
    layer = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 51, 255)):
        layer.putpixel((x, 0), (0, 100, 200, alpha))

    assert pixels(encoded(layer, "PNG"))[0].tolist() == [[255, 255, 255], [204, 224, 244], [0, 100, 200]]
    assert pixels(encoded(layer.convert("LA"), "PNG"))[0, 0].tolist() == [255, 255, 255]


def test_a_transparent_palette_entry_and_a_transparent_colour_are_white() -> None:
    """PNG and GIF can make one palette entry transparent, PNG one colour."""
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    colour = Image.new("RGB", (1, 1), (9, 8, 7))

    for kind in ("PNG", "GIF"):
        assert pixels(encoded(palette, kind, transparency=1))[0].tolist() == [[10, 20, 30], [255] * 3]
    assert pixels(encoded(colour, "PNG", transparency=(9, 8, 7)))[0].tolist() == [[255] * 3]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_frame_stands_for_an_animation(kind: str) -> None:
    """Animations and documents of many pages show how they begin."""
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])

    np.testing.assert_allclose(pixels(data).mean(axis=(0, 1)), [255, 0, 0], atol=6)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_gives_an_upright_picture(kind: str, orientation: int) -> None:
    """Each EXIF orientation in each format that has one."""
    options = {"quality": 95} if kind in {"JPEG", "AVIF"} else {"lossless": True} if kind == "WEBP" else {}
    if kind == "JPEG":
        options["subsampling"] = 0

    picture = decode(turned(photo(), orientation, kind, **options), LIMITS)

    assert picture.size == photo().size
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(photo())).mean() < 5


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0" + b"\xff" * 60, b"Exif\0\0II*\0\0\0\0\0"]
)
def test_broken_exif_costs_nothing(exif: bytes) -> None:
    """Nobody looks at the EXIF block, so that damage in it is no reason to fail."""
    for kind in ("JPEG", "PNG", "WEBP"):
        assert decode(encoded(photo(), kind, exif=exif), LIMITS).size == photo().size


def test_an_orientation_of_an_impossible_kind_is_ignored() -> None:
    """Orientation 9, or a text where a number belongs, leaves the picture as it is."""
    for kind, value in ((b"\3", b"\0\0"), (b"\3", b"\0\x09"), (b"\3", b"\xff\xff"), (b"\2", b"6\0"), (b"\1", b"\6\6")):
        count = b"\2" if kind != b"\3" else b"\1"
        entry = b"\x01\x12\0" + kind + b"\0\0\0" + count + value + b"\0\0"
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + bytes(4)
        assert decode(encoded(photo(), "PNG", exif=exif), LIMITS).size == photo().size


def _swapped_profile() -> bytes:
    """sRGB with red and green exchanged, under a name of its own."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    return profile.replace(b"rXYZ", b"TEMP").replace(b"gXYZ", b"rXYZ").replace(b"TEMP", b"gXYZ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_colour_profile_is_followed(kind: str) -> None:
    """With red and green exchanged in the profile, stored red is shown as green."""
    red = Image.new("RGB", (16, 16), (255, 0, 0))

    shown = pixels(encoded(red, kind, icc_profile=_swapped_profile())).mean(axis=(0, 1))

    np.testing.assert_allclose(shown, [0, 255, 0], atol=6)


def test_an_srgb_a_broken_and_an_unfit_profile_change_nothing() -> None:
    """sRGB is what we want already; garbage and a profile for another colour space are not followed."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    swapped = _swapped_profile()
    for profile in (srgb, lab, b"nonsense", swapped[:200], swapped[:128] + b"\xff" * 400, b"x" * 5_000_000):
        np.testing.assert_array_equal(pixels(encoded(photo(), "TIFF", icc_profile=profile)), np.asarray(photo()))
    np.testing.assert_array_equal(
        pixels(encoded(photo().convert("L"), "PNG", icc_profile=swapped))[..., 1], np.asarray(photo().convert("L"))
    )
