"""Bytes → what the network sees and what the overlay is drawn on, with the way back to the original's pixels."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from shared.contract import Options
from worker.core.picture.decode import decode
from worker.core.types import Data, Geometry, InputSpec, Limits, Prepared

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
#: Sides above which an encoder refuses a picture.
MAX_SIDE = {"jpeg": 65500, "webp": 16383, "png": 2**31 - 1}
#: A centre crop of a long, thin picture would first resize all of it, a 1 x 30000 strip to 2 gigapixels; above
#: this many pixels only the part that is kept is computed, the same to within one level.
MAX_RESIZED_PIXELS = 16_000_000


class _Seen(NamedTuple):
    """The network's input picture, and the part (x0, y0, x1, y1) of the decoded picture that it shows."""

    image: Image.Image
    part: tuple[float, float, float, float]


def prepare(
    data: Data, options: Options, spec: InputSpec, limits: Limits, look: Callable[[int], None] = lambda _: None
) -> Prepared:
    """Decodes a picture and makes it ready for a network that was trained on `spec`.

    The network's input is Pillow's plain resize of the whole upright picture, exactly. Raises ImageError, and what
    `look` raises (see `decode`).
    """
    size = options.input_size or spec.size
    shorter = round(spec.resize_size * size / spec.size)
    longest = min(options.overlay_size, MAX_SIDE[options.format])
    picture = decode(data, limits, look)
    width, height = picture.size
    seen = _squash(picture, size) if options.resize == "squash" else _centre(picture, size, shorter, spec)
    geometry = Geometry(width, height, seen.part)
    if options.overlay == "input":
        canvas, canvas_seen = seen.image, (0.0, 0.0, float(size), float(size))
    else:
        canvas = _shrink(picture, *_fit(width, height, longest))
        canvas_seen = _scaled(geometry.seen, canvas.width / width, canvas.height / height)
    return Prepared(np.asarray(seen.image), canvas, geometry, canvas_seen)


def _squash(picture: Image.Image, size: int) -> _Seen:
    """The whole picture as a square. Always bilinear: the design's word for every network."""
    image = picture.resize((size, size), Image.Resampling.BILINEAR)
    return _Seen(image, (0.0, 0.0, float(picture.width), float(picture.height)))


def _centre(picture: Image.Image, size: int, shorter: int, spec: InputSpec) -> _Seen:
    """The weights' own transforms: the shorter side to `shorter` pixels, then the `size` x `size` centre.

    Rounds as torchvision's `Resize` and `CenterCrop` do, pixel for pixel.
    """
    scale_of = picture.width, picture.height
    width, height = (int(shorter * side / min(scale_of)) for side in scale_of)
    left, top = round((width - size) / 2), round((height - size) / 2)
    crop = (left, top, left + size, top + size)
    part = _scaled(crop, picture.width / width, picture.height / height)
    method = _FILTERS[spec.interpolation]
    if width * height > MAX_RESIZED_PIXELS:
        return _Seen(picture.resize((size, size), method, box=part), part)
    return _Seen(picture.resize((width, height), method).crop(crop), part)


def _fit(width: int, height: int, longest: int) -> tuple[int, int]:
    """The size of a picture made no longer than `longest`, never larger, at least one pixel each way."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _shrink(picture: Image.Image, width: int, height: int) -> Image.Image:
    if picture.size == (width, height):
        return picture
    # A cheap box filter first, to twice the size: several times faster, and not to be told by eye.
    return picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _scaled(part: tuple[float, float, float, float], across: float, down: float) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = part
    return x0 * across, y0 * down, x1 * across, y1 * down
