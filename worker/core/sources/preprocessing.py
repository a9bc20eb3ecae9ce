"""How pictures were prepared, from the configurations that timm and Hugging Face keep beside their weights."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.contract import INTERPOLATIONS, LARGEST_INPUT, SMALLEST_INPUT, Resize
from shared.errors import ModelError
from worker.core.types import InputSpec

#: Pillow's numbers of its filters.
_RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
#: timm's ways to come from a picture to the input's size, by their names.
_CROPS: Mapping[str, Resize] = {"center": "center-crop", "squash": "squash-crop", "border": "letterbox-crop"}
#: Hugging Face's ConvNeXt processor cuts no borders at this size and above.
_UNCUT = 384
#: What its processors may do with a picture beside cutting, scaling and normalising it.
_UNKNOWN = ("size_divisor", "do_color_quantize", "do_pad", "do_reduce_labels")


def of_timm(config: Mapping[str, Any], where: str) -> InputSpec:
    """From timm's data config: the same as its `create_transform(**config)` for evaluation.

    Raises ModelError, naming `where` and the key, for a value that cannot be.
    """
    channels, height, width = _checked(config, "input_size", tuple[int, int, int], where, (3, 224, 224))
    percent = _checked(config, "crop_pct", float, where, 0.875) or 0.875
    mode = config.get("crop_mode") or "center"
    if mode not in _CROPS or not 0.1 <= percent <= 1:
        raise ModelError(
            f"{where}: crop_mode is {mode!r} and crop_pct {percent:g}; expected {', '.join(_CROPS)}, and 0.1 to 1"
        )
    before = math.floor(height / percent), math.floor(width / percent)
    mean = _checked(config, "mean", tuple[float, ...], where, InputSpec().mean)
    interpolation = config.get("interpolation") or "bilinear"
    return _spec(
        where,
        size=height,
        width=None if width == height else width,
        resize_size=before[0],
        resize_width=None if before[0] == before[1] else before[1],
        interpolation=interpolation if interpolation != "random" else "bilinear",
        mean=mean,
        std=_checked(config, "std", tuple[float, ...], where, InputSpec().std),
        resize="squash" if (mode, percent) == ("squash", 1) else _CROPS[mode],
        fill=_border(mean) if mode == "border" else InputSpec().fill,
        channels=channels,
    )


def of_processor(config: Mapping[str, Any], own_size: int, channels: int, where: str) -> InputSpec:
    """From an image processor of Hugging Face's, every default filled in; `own_size` where it has none.

    Raises ModelError as `of_timm` does, and for what its transform does and camq does not.
    """
    kind = str(config.get("image_processor_type", ""))
    strange = [key for key in _UNKNOWN if config.get(key)] + ([] if config.get("do_resize") else ["do_resize"])
    if strange:
        raise ModelError(
            f"{where}: camq does not prepare pictures as {kind} does ({strange[0]} is {config.get(strange[0])!r}); "
            "move the file away and say in [input] of a model file how they are prepared"
        )
    resample = config.get("resample")
    if not isinstance(resample, int) or not 0 <= resample < len(_RESAMPLE):
        raise ModelError(f"{where}: resample {resample!r} is not a filter of Pillow's")
    resize, before, kept = _resizing(config, kind, own_size, where)
    mean = _numbers(config, "image_mean", channels, where, 0.0)
    std = _numbers(config, "image_std", channels, where, 1.0)
    if config.get("include_top"):
        std = tuple(each * each for each in std)  # EfficientNet's divides by them twice
    factor = 255 * _checked(config, "rescale_factor", float, where, 1 / 255) if config.get("do_rescale") else 255.0
    offset = 1.0 if config.get("rescale_offset") else 0.0
    return _spec(
        where,
        size=kept[0],
        width=None if kept[0] == kept[1] else kept[1],
        resize_size=before[0],
        resize_width=before[1],
        interpolation=_RESAMPLE[resample],
        mean=tuple((each + offset) / factor for each in mean),
        std=tuple(each / factor for each in std),
        resize=resize,
        channels=channels,
        floor_crop=resize.endswith("crop"),
    )


def _resizing(
    config: Mapping[str, Any], kind: str, own_size: int, where: str
) -> tuple[Resize, tuple[int, int | None], tuple[int, int]]:
    """How, by way of which shorter side or height and width, and to which height and width."""
    sides = _sides(config, "size", own_size, where)
    percent = _checked(config, "crop_pct", float, where, None)
    if kind.startswith("ConvNext"):
        edge = sides[0]
        cut = edge < _UNCUT
        before = int(edge / (percent or 224 / 256)) if cut else edge
        return "center-crop" if cut else "squash", (before, None), (edge, edge)
    crop = bool(config.get("do_center_crop"))
    if kind.startswith("Levit"):
        sides = tuple(int(256 / 224 * side) for side in sides)
    elif percent and crop:  # PoolFormer's
        sides = tuple(int(side / percent) for side in sides)
    edge, other = sides[0], sides[-1]
    kept = _sides(config, "crop_size", own_size, where) if crop else sides
    both = kept[0], kept[-1]
    if len(sides) == 1:
        return "center-crop", (edge, None), both
    if sides == both:
        return "squash", (edge, None), both
    return "squash-crop", (edge, None if edge == other else other), both


def _spec(where: str, **values: Any) -> InputSpec:
    """The same with the squash's interpolation that of the training; within the bounds of any network's input."""
    if values["interpolation"] not in INTERPOLATIONS:
        raise ModelError(f"{where}: camq does not know the interpolation {values['interpolation']!r}")
    sides = [values[each] for each in ("size", "width", "resize_size", "resize_width") if values.get(each) is not None]
    if not all(SMALLEST_INPUT <= side <= 2 * LARGEST_INPUT for side in sides):
        raise ModelError(f"{where}: its size must be from {SMALLEST_INPUT} to {LARGEST_INPUT} pixels, not {sides[0]}")
    numbers = (*values["mean"], *values["std"])
    if not all(map(math.isfinite, numbers)) or not all(values["std"]):
        raise ModelError(f"{where}: mean and std must be finite numbers, and std not 0")
    return InputSpec(squash_interpolation=values["interpolation"], **values)


def _border(mean: tuple[float, ...]) -> tuple[int, ...]:
    """The colour beside a picture in timm's letterboxes: what normalisation makes 0."""
    return tuple(round(255 * min(1.0, max(0.0, each))) for each in (mean * 3)[:3])


def _sides(config: Mapping[str, Any], key: str, own_size: int, where: str) -> tuple[int, ...]:
    """Height and width, or the shorter side alone."""
    value = config.get(key) or {"height": own_size, "width": own_size}
    names = ("height", "width") if isinstance(value, dict) and "height" in value else ("shortest_edge",)
    try:
        found = msgspec.convert(value, dict[str, int])
        return tuple(found[name] for name in names)
    except (msgspec.ValidationError, KeyError):
        raise ModelError(f"{where}: camq does not know the {key} {value!r}") from None


def _numbers(config: Mapping[str, Any], key: str, channels: int, where: str, plain: float) -> tuple[float, ...]:
    """One for each channel; `plain` where pictures are not normalised."""
    if config.get("do_normalize") is False or config.get(key) is None:
        return (plain,) * channels
    given = _checked(config, key, float | tuple[float, ...], where, plain)
    return given if isinstance(given, tuple) else (given,) * channels


def _checked(config: Mapping[str, Any], key: str, kind: Any, where: str, default: Any) -> Any:
    value = config.get(key)
    try:
        return default if value is None else msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise ModelError(f"{where}: {key} is {value!r}, which camq does not know") from None
