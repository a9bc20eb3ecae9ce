"""A picture of any mode and colour profile → 8-bit sRGB."""

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from worker.core.types import FloatArray, UInt8Array

#: A larger profile than any real one (CMYK tables reach 3 MB) is ignored, so that cached ones stay bounded.
MAX_PROFILE_BYTES = 4_000_000
#: The mode that a profile of each colour space describes.
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
#: Pixels whose values are scaled at once.
_BAND_PIXELS = 1 << 20
#: One, and the greatest numbers of 8, 10, 12, 14 and 16 bits.
_WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_SRGB = ImageCms.createProfile("sRGB")


def to_srgb(image: Image.Image) -> Image.Image:
    """The loaded picture as a new RGB picture, transparency over white, without any metadata.

    A colour profile is followed when it is valid and fits the pixels; otherwise they are taken for sRGB.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        flat = Image.fromarray(_eight_bits(image))
    elif image.has_transparency_data:
        flat = _over_white(image)
    elif image.mode == "LAB":
        lab = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, "LAB", "RGB")
        flat, profile = _apply(image, lab), None
    elif image.mode in _SPACES.values():
        flat = image
    else:
        flat = image.convert("L" if image.mode == "1" else "RGB")
    transform = _transform(profile, flat.mode) if profile else None
    picture = _apply(flat, transform) if transform else flat.convert("RGB")
    # Pillow would write comments, profiles and transparency found here into every overlay.
    picture.info = {}
    return picture


def _over_white(image: Image.Image) -> Image.Image:
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(layer, mask=layer)
    return white


def _eight_bits(image: Image.Image) -> UInt8Array:
    """Grey values of 16 or 32 bits or in floating point → (h, w) uint8, scaled and never clipped.

    A greymap says what white is. Other files hold what fewer bits than their own were enough for, such as the 12 of an
    X-ray: white is then the least of `_WHITES` that holds all values, and failing these their range is stretched.
    """
    low, white = 0.0, 65535.0
    if image.format != "PPM":
        ranges = [(float(values.min()), float(values.max())) for _, values in _bands(image)]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        white = next((top for top in _WHITES if low >= 0 and high <= top), 0.0)
    levels = np.empty((image.height, image.width), np.uint8)
    for rows, values in _bands(image):
        if white:
            grey = values * np.float32(255 / white)
        else:  # in double precision, where not even the range of all float32 numbers overflows
            grey = ((values.astype(np.float64) - low) / ((high - low) or 1.0)).astype(np.float32) * np.float32(255)
        levels[rows] = np.rint(grey)
    return levels


def _bands(image: Image.Image) -> Iterator[tuple[slice, FloatArray]]:
    """The picture's finite values, zero for others, some rows at a time: a copy of a large picture is never whole."""
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        end = min(top + rows, image.height)
        raw = np.asarray(image.crop((0, top, image.width, end)))
        yield slice(top, end), np.where(np.isfinite(raw), raw, 0).astype(np.float32, copy=False)


def _apply(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # None is the answer to in-place calls only  # noqa: S101
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from `profile` to sRGB for pictures of `mode`; None where there is nothing to do.

    A data set has few profiles and a transform takes about 1 ms to build, so they are kept.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if (
            _SPACES.get(source.profile.xcolor_space) != mode
            or "srgb" in (source.profile.profile_description or "").lower()
        ):
            return None
        return ImageCms.buildTransform(source, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None  # a broken profile is no reason to lose the picture
