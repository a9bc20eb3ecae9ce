"""A checkpoint's values → its index: the tensors in them, wherever they lie, and the facts of use."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from shared.errors import ModelError
from worker.core.checkpoint.index import MOST_TENSORS, WIDTHS, Index, Kind, Place
from worker.core.checkpoint.numpy_values import scalar, texts
from worker.core.checkpoint.pickles import Name, Persistent, StandIn

#: Deeper than any checkpoint nests.
_DEEPEST = 24
#: Keys under which trainers keep what names the classes or the network.
_FACTS = re.compile(
    r"^(arch(itecture)?|model(_name)?|backbone|names|.*(class|label|categor|vocab|target|(id|idx|index)_?(to|2)).*)$",
    re.IGNORECASE,
)
_MOST_NAMES, _MOST_LETTERS = 100_000, 1_000
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_UNTYPED = ("UntypedStorage",)
_ELSEWHERE = ("_sparse", "_meta", "qtensor", "nested", "wrapper_subclass")


class View:
    """A tensor as its pickle describes it: a view of a storage, not yet found in the file."""

    __slots__ = ("dtype", "fault", "offset", "shape", "storage", "stride")

    def __init__(self, storage: object, offset: object, shape: object, stride: object, dtype: str | None) -> None:
        self.fault = ""
        self.storage: tuple[str, str] = ("", "")
        self.dtype = ""
        self.shape, self.stride = _sides(shape), _sides(stride)
        self.offset = offset if isinstance(offset, int) and 0 <= offset < 1 << 62 else -1
        parts = storage.id if isinstance(storage, Persistent) else None
        if not isinstance(parts, tuple) or len(parts) < 5 or not isinstance(parts[1], Name):
            self.fault = "its storage is not in the file"
            return
        kind = parts[1].path.rpartition(".")[2]
        self.dtype = dtype if dtype is not None and kind in _UNTYPED else _STORAGES.get(kind, "")
        self.storage = (str(parts[2]), self.dtype)
        if self.dtype not in WIDTHS:
            self.fault = f"it is of a kind that a network cannot compute with ({kind})"
        elif self.offset < 0 or len(self.shape) != len(self.stride):
            self.fault = "its shape is malformed"


def _sides(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) > 16:
        return ()
    return tuple(side if isinstance(side, int) and 0 <= side < 1 << 62 else 0 for side in value)


def build(kind: str, arguments: tuple[object, ...]) -> object:  # noqa: PLR0911 -- one for each kind of call
    """Tensors as torch pickles them become views; all other calls stand-ins."""
    given = [*arguments, *[None] * 7]
    match kind:
        case "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor":
            return View(given[0], given[1], given[2], given[3], None)
        case "torch._utils._rebuild_tensor_v3":
            dtype = given[6].path.rpartition(".")[2] if isinstance(given[6], Name) else None
            return View(given[0], given[1], given[2], given[3], dtype)
        case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state":
            return given[0]
        case "torch._tensor._rebuild_from_type_v2" if isinstance(given[0], Name) and isinstance(given[2], tuple):
            return build(given[0].path, given[2]) if given[0].path != kind else StandIn(kind)
        case "_codecs.encode" if isinstance(given[0], str):  # bytes, as the second protocol writes them
            return given[0].encode("latin-1", "replace")
        case _ if kind.endswith("multiarray.scalar") and (value := scalar(given[0], given[1])) is not None:
            return value
        case _ if kind.startswith("torch.") and any(word in kind for word in _ELSEWHERE):
            view = View(None, 0, (), (), None)
            view.fault = "it is not stored as plain numbers"
            return view
    return StandIn(kind, arguments)


def index(kind: Kind, value: object, find: Callable[[View], tuple[int, int]]) -> Index:
    """The index of a checkpoint that holds `value`; `find` gives start and size of a view's storage in bytes.

    Raises ModelError where there are far more tensors than a network has.
    """
    tensors: dict[str, Place] = {}
    refused: dict[str, str] = {}
    facts: dict[str, Any] = {}
    module = None
    for keys, each in _walk(value):
        name = ".".join(keys)
        if len(name) > _MOST_LETTERS:
            raise ModelError(f"a name in it has more than {_MOST_LETTERS:,} characters")
        if isinstance(each, View):
            if len(tensors) + len(refused) >= MOST_TENSORS:
                raise ModelError(f"it holds more than {MOST_TENSORS:,} tensors")
            try:
                tensors[name] = _place(each, find)
            except ModelError as error:
                refused[name] = str(error)
        elif isinstance(each, StandIn):
            if isinstance(each.state, dict) and "_modules" in each.state and "_parameters" in each.state:
                module = module or each.kind
            if keys and _FACTS.match(keys[-1]) and (names := texts(each)):
                facts[name] = _plain(names)
        elif keys and _FACTS.match(keys[-1]) and (fact := _plain(each)) is not None:
            facts[name] = fact
    return Index(kind=kind, tensors=tensors, facts=facts, refused=refused, module=module)


def _place(view: View, find: Callable[[View], tuple[int, int]]) -> Place:
    if view.fault:
        raise ModelError(view.fault)
    start, size = find(view)
    place = Place(view.dtype, view.shape, view.stride, view.offset, start, size)
    width = WIDTHS[place.dtype]
    if place.count * width > size or (place.last + 1) * width > size:
        raise ModelError(
            f"of shape {place.shape} it is not stored in full: save the state dict with each tensor made contiguous"
        )
    return place


def _walk(value: object) -> Iterator[tuple[tuple[str, ...], object]]:
    """Everything inside, with the keys that lead there, in order; what is referred to twice comes once."""
    seen: set[int] = set()
    left: list[tuple[tuple[str, ...], object]] = [((), value)]
    while left:
        keys, each = left.pop()
        yield keys, each
        if id(each) in seen or len(keys) >= _DEEPEST:
            continue
        seen.add(id(each))
        left += reversed([((*keys, key), inner) for key, inner in _inside(each)])


def _inside(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((str(key), inner) for key, inner in value.items())
    elif isinstance(value, StandIn):
        yield from _inside(value.items)
        if isinstance(value.state, dict) and "_modules" not in value.state:
            yield from _inside(value.state)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            # `list(model.named_parameters())` is a list of names with their tensors.
            named = isinstance(inner, list | tuple) and len(inner) == 2 and isinstance(inner[0], str)
            yield (inner[0], inner[1]) if named else (str(place), inner)


def _plain(value: object) -> object:
    """The value, if it is a text, a number, or names of classes: a list of texts, or numbers to texts or back."""
    if isinstance(value, str):
        return value[:_MOST_LETTERS]
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 53):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple) and 0 < len(value) <= _MOST_NAMES:
        return [each[:_MOST_LETTERS] for each in value] if all(isinstance(each, str) for each in value) else None
    if isinstance(value, dict) and 0 < len(value) <= _MOST_NAMES:
        keys, values = list(value), list(value.values())
        if all(isinstance(k, str | int) for k in keys) and all(isinstance(v, str | int) for v in values):
            return {str(k)[:_MOST_LETTERS]: v[:_MOST_LETTERS] if isinstance(v, str) else v for k, v in value.items()}
    return None
