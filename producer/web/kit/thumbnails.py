"""Small pictures for a page, made from bytes that nobody vouches for."""

import io
from typing import cast

from PIL import Image, ImageOps

from shared.contract.preview import MAX_PIXELS
from shared.pictures import COMMON_FORMATS, small_webp  # a worker reads more; see `previews`

#: The kind of every thumbnail, as a suffix and as a content type.
SUFFIX, CONTENT_TYPE = "webp", "image/webp"


def thumbnail(data: bytes, side: int, *, exif: bool = True) -> bytes | None:
    """The first page, upright as `exif` says, its longest side at most `side` pixels, as WebP; None for what cannot be
    shown.

    Nothing of the input's bytes, not even its metadata, gets into the answer.
    """
    try:
        with Image.open(io.BytesIO(data), formats=COMMON_FORMATS) as picture:
            picture.draft("RGB", (side, side))
            if picture.width * picture.height > MAX_PIXELS:
                return None
            return small_webp(_in_colour(ImageOps.exif_transpose(picture) if exif else picture), side)
    except Exception:  # noqa: BLE001 - hostile bytes may raise anything, and a missing preview is no failure
        return None


def _in_colour(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":  # from the least to the greatest number, as workers do
        low, high = cast("tuple[float, float]", picture.getextrema())
        scale = 255 / ((high - low) or 1)
        picture = picture.point(lambda level: level * scale - low * scale).convert("L")
    if picture.mode in ("P", "PA", "LA", "RGBA"):  # what shines through transparent parts is white, as on paper
        seen = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return picture
