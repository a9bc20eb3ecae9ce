"""A picture of any 8-bit mode and colour profile → sRGB."""

from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageCms

#: A larger profile than any real one (CMYK tables reach 3 MB) is ignored, so that cached ones stay bounded.
MAX_PROFILE_BYTES = 4_000_000
#: The mode that a profile of each colour space describes.
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SRGB = ImageCms.createProfile("sRGB")


def to_srgb(image: Image.Image) -> Image.Image:
    """The loaded picture as a new RGB picture, transparency over white, without any metadata.

    A colour profile is followed when it is valid and fits the pixels; otherwise they are taken for sRGB.
    """
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
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
