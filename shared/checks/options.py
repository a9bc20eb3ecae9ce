"""The options of a job: one declaration of each, and the only check of their values.

`shared.contract.Options` declares them; `OPTIONS` is what the command, the Python API, the page and the documentation
read of that. A message always says what is wrong, with the value, and what was expected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from shared.checks.classes import Classes
from shared.checks.only import for_model, parse_only
from shared.colormaps import NAMES
from shared.contract import LAYER_METHODS, ModelCard, Options, layers_in, number_range
from shared.errors import UsageError
from shared.text import did_you_mean, one_of

#: An error lists this many allowed words at most, and a few examples of more.
_MOST_LISTED = 12
#: Classes of a picture whose masks are stored: a large picture's takes tens of kilobytes in the results.
MOST_MASKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values that an option may have: numbers in a range, words, or true, false and words beside them."""

    kind: type = str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    #: Whether `low` and `high` themselves are excluded.
    is_open: bool = False

    @property
    def limits(self) -> str:
        """The range in words, such as `at least 1`; empty for words and for numbers without a range."""
        if self.low is None:
            return ""
        if self.high is None:
            return f"at least {self.low:g}"
        return f"{'between' if self.is_open else 'from'} {self.low:g} {'and' if self.is_open else 'to'} {self.high:g}"

    @property
    def expected(self) -> str:
        """What an error says was expected."""
        if self.kind is bool:
            return one_of(("true", "false", *self.choices))
        if self.choices:
            if len(self.choices) > _MOST_LISTED:
                return f"one of the {len(self.choices)} names in the documentation"
            return f"one of {', '.join(self.choices)}"
        kind = {int: "a whole number", float: "a number"}.get(self.kind, "text")
        within = f" {self.limits}" if self.high is not None else f" of {self.limits}"
        return kind + (within if self.limits else "")

    def parse(self, name: str, text: str) -> Any:
        """The value that a command line or form means by `text`. Raises UsageError as `check` does."""
        if self.kind is bool:
            return self.check(name, {"true": True, "false": False}.get(text, text))
        try:
            return self.check(name, self.kind(text))
        except ValueError:
            raise self._error(name, text) from None

    def check(self, name: str, value: Any) -> Any:
        """The value, if it is allowed. UsageError names the option, the value, and what was expected."""
        if self.kind is bool and isinstance(value, bool):
            return value
        allowed: tuple[type, ...] = (int, float) if self.kind is float else (str if self.choices else self.kind,)
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise self._error(name, value)
        if self.choices and value not in self.choices:
            raise self._error(name, value)
        if not self._is_within(value):
            raise self._error(name, value)
        return value

    def _is_within(self, value: Any) -> bool:
        if self.is_open:
            return (self.low is None or value > self.low) and (self.high is None or value < self.high)
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _error(self, name: str, value: object) -> UsageError:
        hint = did_you_mean(str(value), self.choices) if self.choices else ""
        return UsageError(f"invalid {name} {value!r}{hint}: expected {self.expected}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOption:
    """One option of a job, as `Options` declares it."""

    name: str
    help: str
    values: Values
    #: None where the model decides, or where nothing is done without a value.
    default: Any
    #: The default in words; empty where the option has no default worth a word.
    default_text: str
    metavar: str | None


def _declared(field: msgspec.structs.FieldInfo) -> JobOption:
    kind, metas, is_flag = field.type, [], False
    while get_origin(kind) in (Annotated, Union, UnionType):
        if get_origin(kind) is Annotated:
            kind, *found = get_args(kind)
            metas += found
        else:
            *flag, kind = (part for part in get_args(kind) if part not in (type(None), UnsetType))
            is_flag = flag == [bool]  # true, false, or one of a few words
    words = next((meta for meta in metas if meta.description), msgspec.Meta())
    bounds = next((meta for meta in metas if (meta.ge if meta.gt is None else meta.gt) is not None), msgspec.Meta())
    extra = words.extra or {}
    is_open = bounds.gt is not None
    choices = get_args(kind) if get_origin(kind) is Literal else NAMES if field.name == "colormap" else ()
    default = None if field.default is UNSET else field.default
    return JobOption(
        name=field.name,
        help=words.description or "",
        values=Values(
            kind=bool if is_flag else str if choices else get_origin(kind) or kind,
            choices=choices,
            low=bounds.gt if is_open else bounds.ge,
            high=bounds.lt if is_open else bounds.le,
            is_open=is_open,
        ),
        default=default,
        default_text=extra.get("default", "" if default in (None, False) else str(default)),
        metavar=extra.get("metavar"),
    )


OPTIONS: Mapping[str, JobOption] = {field.name: _declared(field) for field in msgspec.structs.fields(Options)}


def check_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `given` that are not None, as far as they can be checked without knowing the model.

    Raises UsageError that names the option, its value, and what was expected.
    """
    values = {name: value for name, value in given.items() if value is not None and value is not UNSET}
    for name, value in values.items():
        option = OPTIONS.get(name)
        if option is None:
            raise UsageError(f"unknown option {name!r}{did_you_mean(name, OPTIONS)}: expected {', '.join(OPTIONS)}")
        if name == "evaluate":
            values[name] = _methods(value)
        elif name != "classes":  # labels are known to the model alone
            option.values.check(name, value)
        if name == "only":
            parse_only(value)
    _check_range(values.get("range", "full"))
    return values


def _check_range(text: str) -> None:
    if text in ("full", "data"):
        return
    try:
        number_range(text)
    except ValueError:
        raise UsageError(
            f"invalid range {text[:80]!r}: expected full, data, or LOW:HIGH with the lower number first, as in -160:240"
        ) from None


def check_options(card: ModelCard, given: Mapping[str, Any]) -> Options:
    """The options in `given` (None means not given), complete and valid for this model.

    `classes` may be indices, labels, or one text of both separated by commas. Raises UsageError that names
    the option, its value, and what was expected.
    """
    values = check_values(given)
    if "evaluate" in values:
        values.setdefault("method", values["evaluate"][0])
    elif values.get("randomise"):
        raise UsageError("randomise needs evaluate: name the methods whose maps to test, as in cam,layercam")
    if values.get("randomise") and "smooth" in values:
        raise UsageError("randomise tests the network's own maps and not smoothed ones: leave out randomise or smooth")
    _check_method(card, values)
    _check_layer(card, values)
    _check_input_size(card, values)
    count = len(card.labels)
    if "min_probability" in values and ("classes" in values or "top_k" in values):
        raise UsageError(
            "min_probability takes the place of top_k and of classes: give one of the three "
            f"(got {', '.join(name for name in ('min_probability', 'top_k', 'classes') if name in values)})"
        )
    if values.get("overlay") == "transparent" and values.setdefault("format", "png") == "jpeg":
        raise UsageError("a JPEG cannot be transparent: use the format png or webp with overlay transparent")
    # A model of two classes has no third best.
    values["top_k"] = min(values.get("top_k", OPTIONS["top_k"].default), count)
    if card.preprocessing is not None and card.preprocessing.resize != "squash":
        values.setdefault("resize", card.preprocessing.resize)  # the report has to know where the picture lies
    if "classes" in values:
        values["classes"] = Classes(card).indices(values["classes"])
    _check_masks(card, values)
    if "only" in values:
        values["only"] = for_model(values["only"], card)
    return msgspec.convert(values, Options)


def _check_masks(card: ModelCard, values: Mapping[str, Any]) -> None:
    """Masks stand in the results of a chunk of pictures, which is one object and read as one."""
    if not values.get("masks"):
        return
    least = values.get("min_probability")
    if least is not None:  # of softmax's probabilities so many can be as high; of a sigmoid's all
        known = len(card.labels)
        classes = min(int(1 / least), known) if card.outputs == "softmax" else known
    else:
        classes = len(values["classes"]) if "classes" in values else values["top_k"]
    if classes > MOST_MASKS:
        by = next((name for name in ("min_probability", "classes") if name in values), "top_k")
        raise UsageError(
            f"masks are stored of at most {MOST_MASKS} classes of a picture, and {by} asks for up to {classes:,}: "
            f"ask for fewer classes, or leave masks out"
        )


def _check_method(card: ModelCard, values: Mapping[str, Any]) -> None:
    """Also when none was given: on a network without a closed form the default would fail every image."""
    for method in (values.get("method", OPTIONS["method"].default), *values.get("evaluate", ())):
        if method not in card.methods:
            reason = f": {card.reason}" if card.reason else ""
            raise UsageError(f"{card.name} does not support the method {method}{reason}. Use {one_of(card.methods)}")


def _methods(given: object) -> tuple[str, ...]:
    """Each method once; they may be given as one text, separated by commas."""
    names = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not names:
        raise UsageError(f"invalid evaluate {given!r}: expected methods, as in cam,layercam")
    return tuple(dict.fromkeys(OPTIONS["method"].values.check("evaluate", name) for name in names))


def _check_input_size(card: ModelCard, values: Mapping[str, Any]) -> None:
    size = values.get("input_size")
    if size is None or card.input_sizes is None:
        return
    smallest, largest = card.input_sizes
    if not smallest <= size <= largest:
        takes = f"{smallest} pixels only" if smallest == largest else f"{smallest} to {largest} pixels"
        raise UsageError(
            f"invalid input_size {size}: {card.name} takes {takes}; leave the option out for its own {card.input_size}"
        )


def _check_layer(card: ModelCard, values: Mapping[str, Any]) -> None:
    """A worker would refuse every image. The card of an older worker has no layers; then only the worker checks."""
    given = values.get("target_layer")
    methods = (values.get("method", OPTIONS["method"].default), *values.get("evaluate", ()))
    if given is None or not card.layers:
        return
    layers = layers_in(given)
    if not layers:
        raise UsageError(f"invalid target_layer {given!r}: expected a layer, or several separated by commas")
    for layer in layers:
        if layer not in card.layers:
            outermost = ", ".join(name for name in card.layers if "." not in name)
            hint = did_you_mean(layer, card.layers)
            raise UsageError(f"{card.model} has no layer {layer!r}{hint}; its outermost layers are {outermost}")
    elsewhere = next((name for name in methods if name not in LAYER_METHODS), None)
    if elsewhere and layers != (card.target_layer,):
        raise UsageError(
            f"the method {elsewhere} works on the layer {card.target_layer} only; for {given} use the method "
            f"{one_of(LAYER_METHODS) if len(layers) == 1 else 'layercam'}"
        )
    single = next((name for name in methods if name != "layercam"), None)
    if single and len(layers) > 1:
        raise UsageError(f"the method {single} maps one layer; for several ({given}) use the method layercam")
