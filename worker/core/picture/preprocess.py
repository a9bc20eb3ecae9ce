"""Bytes → what the network sees and what the overlay is drawn on, with the way back to the original's pixels."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from shared.contract import INTERPOLATIONS, Interpolation, Options
from worker.core.picture.decode import decode
from worker.core.picture.sample import TAPS, sampled
from worker.core.types import Data, Geometry, InputSpec, Limits, Prepared, Reading

_FILTERS = {name: Image.Resampling[name.upper()] for name in INTERPOLATIONS}
#: The modes of a network's input by its channels. The fourth is opaque: decoding has laid a picture's own over white.
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
#: Sides above which an encoder refuses a picture.
MAX_SIDE = {"jpeg": 65500, "webp": 16383, "png": 2**31 - 1}
#: A centre crop of a long, thin picture would first resize all of it, a 1 x 30000 strip to 2 gigapixels; above
#: this many pixels only the part that is kept is computed, the same to within one level.
MAX_RESIZED_PIXELS = 16_000_000


class _Seen(NamedTuple):
    """The network's input picture, and the part (x0, y0, x1, y1) of the decoded picture that it shows."""

    image: Image.Image
    part: tuple[float, float, float, float]


def prepare(  # noqa: PLR0917 - tests stand in for it, whatever it takes
    data: Data,
    options: Options,
    spec: InputSpec,
    limits: Limits,
    look: Callable[[int], None] = lambda _: None,
    page: int | None = None,
) -> Prepared:
    """Decodes a picture and makes it ready for a network that was trained on `spec`.

    Without other wishes of the job or the model, the network's input is Pillow's plain resize of the whole upright
    picture, exactly. `page` counts from 1. Raises ImageError, NeededError, and what `look` raises (see `decode`).
    """
    size = spec.sides(options.input_size)
    shorter = round(spec.resize_size * size[0] / spec.size)
    longest = min(options.overlay_size, MAX_SIDE[options.format])
    reading = Reading(options.range or None, options.truncated == "keep", page, exif=spec.exif)
    picture = decode(data, limits, look, reading)
    width, height = picture.size
    source = picture if spec.channels != 1 else picture.convert("L")
    match options.resize or spec.resize:
        case "center-crop":
            seen = _centre(source, size, shorter, spec)
        case "letterbox":
            seen = _letterbox(source, size, spec)
        case "squash-crop":
            seen = _squash_crop(source, size, shorter, spec)
        case _:
            seen = _squash(source, size, spec)
    geometry = Geometry(width, height, seen.part)
    if options.overlay == "input":
        canvas, canvas_seen = seen.image.convert("RGB"), (0.0, 0.0, float(size[1]), float(size[0]))
    else:
        canvas = _shrink(picture, *_fit(width, height, longest))
        canvas_seen = _scaled(geometry.seen, canvas.width / width, canvas.height / height)
    pixels = np.asarray(seen.image.convert(_MODES[spec.channels]))
    pixels = pixels if spec.channels != 1 else pixels[..., None]
    return Prepared(pixels, canvas, geometry, canvas_seen, tuple(reading.warnings))


def _squash(picture: Image.Image, size: tuple[int, int], spec: InputSpec) -> _Seen:
    """The whole picture in the input's proportions. Bilinear for torchvision's networks, unless a model file says
    otherwise."""
    image = _resized(picture, size, spec.squash_interpolation, spec)
    return _Seen(image, (0.0, 0.0, float(picture.width), float(picture.height)))


def _squash_crop(picture: Image.Image, size: tuple[int, int], side: int, spec: InputSpec) -> _Seen:
    """The whole picture as a square of `side`, then the centre of it: as DeiT is trained."""
    left, top = round((side - size[1]) / 2), round((side - size[0]) / 2)
    crop = (left, top, left + size[1], top + size[0])
    part = _scaled(crop, picture.width / side, picture.height / side)
    return _Seen(_resized(picture, (side, side), spec.interpolation, spec).crop(crop), part)


def _letterbox(picture: Image.Image, size: tuple[int, int], spec: InputSpec) -> _Seen:
    """The whole picture in its own proportions, in the middle of `spec.fill`."""
    scale = min(size[1] / picture.width, size[0] / picture.height)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    left, top = (size[1] - width) // 2, (size[0] - height) // 2
    image = Image.new("RGB", size[::-1], spec.fill).convert(picture.mode)
    image.paste(_resized(picture, (height, width), spec.interpolation, spec), (left, top))
    square = (-left, -top, size[1] - left, size[0] - top)
    return _Seen(image, _scaled(square, picture.width / width, picture.height / height))


def _centre(picture: Image.Image, size: tuple[int, int], shorter: int, spec: InputSpec) -> _Seen:
    """The weights' own transforms: the shorter side to `shorter` pixels, then the centre of `size`.

    Rounds as torchvision's `Resize` and `CenterCrop` do, pixel for pixel.
    """
    scale_of = picture.width, picture.height
    width, height = (int(shorter * side / min(scale_of)) for side in scale_of)
    left, top = round((width - size[1]) / 2), round((height - size[0]) / 2)
    crop = (left, top, left + size[1], top + size[0])
    part = _scaled(crop, picture.width / width, picture.height / height)
    if width * height > MAX_RESIZED_PIXELS:
        return _Seen(picture.resize(size[::-1], _FILTERS[spec.interpolation], box=part), part)
    return _Seen(_resized(picture, (height, width), spec.interpolation, spec).crop(crop), part)


def _resized(picture: Image.Image, size: tuple[int, int], method: Interpolation, spec: InputSpec) -> Image.Image:
    """To height and width `size`: by Pillow, or as torch resizes tensors without antialiasing."""
    if spec.antialias or method not in TAPS:
        return picture.resize(size[::-1], _FILTERS[method])
    return Image.fromarray(sampled(np.asarray(picture), size, method))


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
