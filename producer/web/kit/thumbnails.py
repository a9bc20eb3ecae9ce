"""Small pictures for a page, made anew from bytes that nobody vouches for."""

import io
from typing import cast

from PIL import Image, ImageOps

from shared.pictures import COMMON_FORMATS  # a worker reads more; the rest has no preview

#: Of what must be decoded for a preview; a JPEG is decoded at a fraction of its size.
MAX_PIXELS = 50_000_000
#: What one may take of its process: address space, processor seconds, bytes of the answer.
MEMORY, LIMIT_S, LARGEST = 12 * MAX_PIXELS + 100_000_000, 5.0, 4_000_000
#: The kind of every thumbnail, as a suffix and as a content type.
SUFFIX, CONTENT_TYPE = "webp", "image/webp"
_QUALITY = 80


def thumbnail(data: bytes, side: int) -> bytes | None:
    """The picture upright, its longest side at most `side` pixels, as WebP; None for what cannot be shown.

    Nothing of the input's bytes, not even its metadata, gets into the answer.
    """
    try:
        with Image.open(io.BytesIO(data), formats=COMMON_FORMATS) as picture:
            picture.draft("RGB", (side, side))
            if picture.width * picture.height > MAX_PIXELS:
                return None
            return _encoded(picture, side)
    except Exception:  # noqa: BLE001 - hostile bytes may raise anything, and a missing preview is no failure
        return None


def _encoded(picture: Image.Image, side: int) -> bytes:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I") or upright.mode == "F":  # from the least to the greatest number, as workers do
        low, high = cast("tuple[float, float]", upright.getextrema())
        scale = 255 / ((high - low) or 1)
        upright = upright.point(lambda level: level * scale - low * scale).convert("L")
    if upright.mode in ("P", "PA", "LA", "RGBA"):  # what shines through transparent parts is white, as on paper
        seen = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    small = upright.convert("RGB")
    small.thumbnail((side, side))
    small.info.clear()
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()
