"""Bytes of any picture format → an upright RGB picture, or an ImageError that names what is wrong."""

import re
from collections.abc import Callable
from io import BytesIO

from PIL import Image, ImageFile

from shared.errors import ImageError
from shared.pictures import UNSIGNED_FORMATS, readable_formats, refusal
from worker.core.picture.srgb import to_srgb
from worker.core.types import Data, Limits

FORMATS = readable_formats()
#: What a picture is told that meets the limit on memory.
OUT_OF_MEMORY = (
    "it needs more memory than one picture may take: make the picture smaller, or raise CAMQ_MAX_IMAGE_PIXELS, "
    "which that limit follows"
)
#: Bytes that begin so were meant to be a picture: what fails behind them is damage, not another kind of file.
_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]"
    rb"|....ftypavi[fs]|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|8BPS\0\x01|qoif|DDS |\0\0[\x01\x02]\0[^\0]\0",
    re.DOTALL,
)
_ORIENTATION = 0x0112
#: EXIF orientation → what sets the picture upright. Those from 5 on swap width and height.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PostponedError(Exception):
    """Whoever asked for a picture does not want it decoded now."""


def decode(data: Data, limits: Limits, look: Callable[[int], None] = lambda _: None) -> Image.Image:
    """The first frame of the picture in `data`: RGB, upright, sRGB, transparency over white.

    `look` is told the number of its pixels before they are decoded, and may raise PostponedError. Else this raises
    ImageError with the code empty, too_large, not_an_image, unsupported or truncated, and nothing else.
    """
    if not data:
        raise ImageError("empty", "the file has no bytes: check that it was written to its end, and send it again")
    if len(data) > limits.max_bytes:
        raise ImageError(
            "too_large",
            f"the file has {len(data):,} bytes and the limit is {limits.max_bytes:,}: "
            "compress it more or make the picture smaller, or raise the limit",
        )
    _lift_pillows_ceiling(limits.max_pixels)
    image: ImageFile.ImageFile | None = None
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
        _check_pixels(image, limits)
        look(image.width * image.height)
        size = image.size
        image.load()
        if image.size != size:  # the directory of an icon file may lie about the picture behind it
            _check_pixels(image, limits)
        picture, orientation = to_srgb(image), _orientation(image)
        if orientation in _UPRIGHT:
            picture = picture.transpose(_UPRIGHT[orientation])
        return picture
    except (ImageError, PostponedError):
        raise
    # Parsers of hostile bytes raise whatever they trip over; Pillow's have raised nearly every built-in
    # exception. All of it means the same: this picture fails, its neighbours go on.
    except Exception as error:
        raise _failure(error, data, image, limits) from error


def _lift_pillows_ceiling(max_pixels: int) -> None:
    """Keeps Pillow's own pixel limit out of the way of ours.

    It is one global number: a warning above it and an error above its double. We check every header against
    our own limit; Pillow's stays as the net for pictures nested in icon files, which we cannot see before
    they are decoded. It is only ever raised, so that threads cannot get in each other's way.
    """
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels


def _check_pixels(image: Image.Image, limits: Limits) -> None:
    if image.width * image.height > limits.max_pixels:
        raise ImageError(
            "too_large",
            f"the picture has {image.width:,} x {image.height:,} pixels and the limit is {limits.max_pixels:,} "
            "pixels in all: make it smaller, or raise the limit",
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where there is none or its block is broken: nobody looks at EXIF."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 — the block is parsed as freely as pictures are, see above
        return 1
    return orientation if isinstance(orientation, int) else 1


def _failure(error: Exception, data: Data, image: Image.Image | None, limits: Limits) -> ImageError:
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageError(
            "too_large",
            f"the picture is far above the limit of {limits.max_pixels:,} pixels: make it smaller, or raise the limit",
        )
    if isinstance(error, MemoryError):
        return ImageError("too_large", OUT_OF_MEMORY)
    opened = image is not None and image.format not in UNSIGNED_FORMATS
    if opened or _SIGNATURE.match(data):
        # Pillow's sentence may quote the picture's bytes at any length.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        reason = reason if image else "its header cannot be read"
        return ImageError(
            "truncated",
            f"the picture ends before its data is complete, or its data is damaged ({reason}): "
            "open and save it in a picture editor, or send a whole copy",
        )
    return ImageError(*refusal(data))
