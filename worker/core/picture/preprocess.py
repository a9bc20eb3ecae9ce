"""Bytes → what the network sees and what the overlay is drawn on, with the way back to the original's pixels."""

from collections.abc import Callable
from dataclasses import replace
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


#: Height and width; before a crop the shorter side alone has no width.
_Sides = tuple[int, int]
_Before = tuple[int, int | None]


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
    before = spec.before_crop(size[0])
    longest = min(options.overlay_size, MAX_SIDE[options.format])
    reading = Reading(options.range or None, options.truncated == "keep", page, exif=spec.exif)
    picture = decode(data, limits, look, reading)
    width, height = picture.size
    source = picture if spec.channels != 1 else picture.convert("L")
    match options.resize or spec.resize:
        case "center-crop":
            seen = _centre(source, size, before, spec)
        case "letterbox":
            seen = _letterbox(source, size, spec)
        case "letterbox-crop":
            seen = _letterbox_crop(source, size, before, spec)
        case "squash-crop":
            seen = _squash_crop(source, size, before, spec)
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


def _squash(picture: Image.Image, size: _Sides, spec: InputSpec) -> _Seen:
    """The whole picture in the input's proportions. Bilinear for torchvision's networks, unless a model file says
    otherwise."""
    image = _resized(picture, size, spec.squash_interpolation, spec)
    return _Seen(image, (0.0, 0.0, float(picture.width), float(picture.height)))


def _squash_crop(picture: Image.Image, size: _Sides, before: _Before, spec: InputSpec) -> _Seen:
    """The whole picture as a square or a rectangle, then the centre of it: as DeiT is trained."""
    sides = before[0], before[1] or before[0]
    return _middle(_resized(picture, sides, spec.interpolation, spec), size, picture, spec)


def _letterbox(picture: Image.Image, size: _Sides, spec: InputSpec) -> _Seen:
    """The whole picture in its own proportions, in the middle of `spec.fill`."""
    scale = min(size[1] / picture.width, size[0] / picture.height)
    sides = max(1, round(picture.height * scale)), max(1, round(picture.width * scale))
    return _middle(_resized(picture, sides, spec.interpolation, spec), size, picture, spec)


def _letterbox_crop(picture: Image.Image, size: _Sides, before: _Before, spec: InputSpec) -> _Seen:
    """A letterbox of other sides, then the centre of it. Rounds as timm's `ResizeKeepRatio` and `CenterCropOrPad` do,
    pixel for pixel."""
    ratio = max(picture.height / before[0], picture.width / (before[1] or before[0]))
    sides = max(1, round(picture.height / ratio)), max(1, round(picture.width / ratio))
    return _middle(_resized(picture, sides, spec.interpolation, spec), size, picture, spec)


def _centre(picture: Image.Image, size: _Sides, before: _Before, spec: InputSpec) -> _Seen:
    """The weights' own transforms: the shorter side to so many pixels, or a rectangle covered, then the centre of
    `size`.

    Rounds as torchvision's `Resize` and `CenterCrop` do and, for a rectangle, as timm's `ResizeKeepRatio`, pixel for
    pixel.
    """
    if before[1] is None:
        shortest = min(picture.size)
        sides = int(before[0] * picture.height / shortest), int(before[0] * picture.width / shortest)
    else:
        ratio = min(picture.height / before[0], picture.width / before[1])
        sides = round(picture.height / ratio), round(picture.width / ratio)
    if sides[0] * sides[1] > MAX_RESIZED_PIXELS:
        part = _part(sides, size, picture, spec)
        return _Seen(picture.resize(size[::-1], _FILTERS[spec.interpolation], box=part), part)
    return _middle(_resized(picture, sides, spec.interpolation, spec), size, picture, replace(spec, fill=(0, 0, 0)))


def _middle(resized: Image.Image, size: _Sides, picture: Image.Image, spec: InputSpec) -> _Seen:
    """The middle of a resized picture, where it is smaller in the middle of `spec.fill`."""
    part = _part((resized.height, resized.width), size, picture, spec)
    top, left = (
        _offset(inner, outer, spec) for inner, outer in zip((resized.height, resized.width), size, strict=True)
    )
    if top >= 0 and left >= 0:
        return _Seen(resized.crop((left, top, left + size[1], top + size[0])), part)
    image = Image.new("RGB", size[::-1], spec.fill).convert(picture.mode)
    image.paste(resized, (-left, -top))
    return _Seen(image, part)


def _part(sides: _Sides, size: _Sides, picture: Image.Image, spec: InputSpec) -> tuple[float, float, float, float]:
    """What the middle of `size` of a picture that is resized to `sides` shows of it."""
    top, left = _offset(sides[0], size[0], spec), _offset(sides[1], size[1], spec)
    crop = (left, top, left + size[1], top + size[0])
    return _scaled(crop, picture.width / sides[1], picture.height / sides[0])


def _offset(resized: int, kept: int, spec: InputSpec) -> int:
    """Where the middle begins, by the rounding of torchvision's `CenterCrop` or of Hugging Face's; negative where it
    must be padded."""
    if resized < kept:
        return -((kept - resized) // 2)
    return (resized - kept) // 2 if spec.floor_crop else round((resized - kept) / 2)


def _resized(picture: Image.Image, size: _Sides, method: Interpolation, spec: InputSpec) -> Image.Image:
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
