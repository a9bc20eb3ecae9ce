"""The options of a job, checked against what the model offers before anything is done."""

import csv
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from shared.colormaps import NAMES
from shared.contract import ModelCard, Options
from shared.errors import UsageError
from shared.suggest import did_you_mean

_MOST_DIGITS = 10
_FIELDS = {field.name: field for field in msgspec.structs.fields(Options)}


def check_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `given` that are not None, as far as they can be judged without knowing the model.

    Raises UsageError that names the option and its allowed values.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for name in values.keys() - _FIELDS.keys():
        raise UsageError(f"no option {name!r}{did_you_mean(name, _FIELDS)}; there are {', '.join(_FIELDS)}")
    _check_colormap(values.get("colormap"))
    for name, field in _FIELDS.items():
        if get_origin(field.type) is Literal:
            check_choice(name, values.get(name), get_args(field.type))
    _convert({name: value for name, value in values.items() if name != "classes"})
    return values


def check_options(card: ModelCard, given: Mapping[str, Any]) -> Options:
    """The options in `given` (None means not given), complete and valid for this model.

    `classes` may be indices, labels, or one text of both separated by commas. Raises UsageError that names
    the option and its allowed values.
    """
    values = check_values(given)
    _check_method(card, values)
    _check_layer(card, values)
    _check_input_size(card, values)
    count = len(card.labels)
    # A model of two classes has no third best; only who asks for three is told.
    top_k = values.setdefault("top_k", min(_FIELDS["top_k"].default, count))
    if top_k > count:
        raise UsageError(f"top_k must be from 1 to {count}, the number of classes of {card.model}, not {top_k}")
    if "classes" in values:
        values["classes"] = _class_indices(card, values["classes"])
    return _convert(values)


def _check_method(card: ModelCard, values: Mapping[str, Any]) -> None:
    """Also when none was given: on a network without a closed form the default would fail every image."""
    method = values.get("method", _FIELDS["method"].default)
    if method not in card.methods:
        reason = f": {card.reason}" if card.reason else ""
        raise UsageError(f"{card.name} cannot do {method}{reason}. Use method {' or '.join(card.methods)}")


def _check_input_size(card: ModelCard, values: Mapping[str, Any]) -> None:
    size = values.get("input_size")
    if size is None or card.input_sizes is None:
        return
    smallest, largest = card.input_sizes
    if not smallest <= size <= largest:
        takes = f"{smallest} pixels only" if smallest == largest else f"{smallest} to {largest} pixels"
        raise UsageError(
            f"input_size {size} is not for {card.name}, whose input has a side of {takes}; leave it out for the"
            f" {card.input_size} that it was trained with"
        )


def _check_layer(card: ModelCard, values: Mapping[str, Any]) -> None:
    """A worker would refuse every image. A card without layers is that of an older worker, and tells nothing."""
    layer, method = values.get("target_layer"), values.get("method", _FIELDS["method"].default)
    if layer is None or not card.layers:
        return
    if layer not in card.layers:
        outermost = ", ".join(name for name in card.layers if "." not in name)
        hint = did_you_mean(layer, card.layers)
        raise UsageError(f"{card.model} has no layer {layer!r}{hint}; its outermost layers are {outermost}")
    if layer != card.target_layer and method != "gradcam":
        raise UsageError(
            f"method {method} looks at {card.target_layer}, the input of the pool; another layer, such as {layer},"
            " takes the method gradcam"
        )


def _convert(values: Mapping[str, Any]) -> Options:
    try:
        return msgspec.convert(values, Options)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`")
        raise UsageError(f"{name} {values.get(name)!r} is not allowed: {_lower(reason)}") from None


def check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    """UsageError that names the allowed values, unless `value` is None or one of them."""
    allowed = tuple(allowed)
    if value is not None and value not in allowed:
        raise UsageError(f"no {name} {value!r}{did_you_mean(str(value), allowed)}; allowed are {', '.join(allowed)}")


def _check_colormap(value: object) -> None:
    """As `check_choice`, but nobody reads hundreds of names in an error."""
    if value is not None and value not in NAMES:
        raise UsageError(
            f"no colormap {value!r}{did_you_mean(str(value), NAMES)}; there are {len(NAMES)}, such as jet, viridis and"
            ' inferno: the page "Results" of the documentation lists them, and a shell completes them after'
            " `camq completion`"
        )


def _class_indices(card: ModelCard, classes: object) -> tuple[int, ...]:
    if isinstance(classes, str):
        classes = _split(classes)
    elif isinstance(classes, bytes) or not isinstance(classes, Iterable):
        classes = [classes]
    indices = [_class_index(card, wanted) for wanted in classes]
    if not indices:
        raise UsageError("classes is empty: give class indices or labels, separated by commas")
    return tuple(dict.fromkeys(indices))


def _split(classes: str) -> list[str]:
    """At its commas; a label with a comma in it stands in double quotes."""
    try:
        return next(csv.reader([classes], skipinitialspace=True), [])
    except csv.Error:
        raise UsageError(
            f"classes {classes[:80]!r} is not one line of indices or labels, separated by commas"
        ) from None


def _class_index(card: ModelCard, wanted: object) -> int:
    if isinstance(wanted, bool):
        raise UsageError(f"classes has {wanted}, which is neither an index nor a label")
    text = str(wanted).strip()
    if text.isdecimal() or isinstance(wanted, int):
        # No class has an index of so many digits, and `int` refuses some thousand of them.
        if len(text) < _MOST_DIGITS and 0 <= int(text) < len(card.labels):
            return int(text)
        raise UsageError(f"no class {text}: {card.model} has the classes 0 to {len(card.labels) - 1}")
    same = [index for index, label in enumerate(card.labels) if label == text]
    same = same or [index for index, label in enumerate(card.labels) if label.casefold() == text.casefold()]
    if len(same) == 1:
        return same[0]
    if same:
        raise UsageError(f"class {text!r} is ambiguous: give one of the indices {', '.join(map(str, same))}")
    raise UsageError(f"{card.model} has no class {text!r}{did_you_mean(text, card.labels)}; an index works as well")


def _lower(reason: str) -> str:
    return reason[:1].lower() + reason[1:].replace("`", "")
