"""What is wrong with a request, in the words of HTTP: not in those of a library, and not in the command's."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.inspect import (
    BoolType,
    CollectionType,
    EnumType,
    LiteralType,
    StructType,
    Type,
    UnionType,
    type_info,
)

from producer.formatting import count
from shared.text import did_you_mean

_TYPES = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list"}
_TYPES |= {"object": "an object", "null": "null", "binary": "text"}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_ITEMS = {"str": "character", "array": "item"}
#: The command's own words, and what a client of the API does instead.
_COMMANDS = (
    (re.compile(r"start a worker with `[^`]*`, or everything at once with `[^`]*`"), "ask the operator to serve it"),
    (re.compile(r"--job-id\b"), "Idempotency-Key"),
    (re.compile(r"`camq jobs`"), "GET /v1/jobs"),
    (re.compile(r"--([a-z][a-z-]*[a-z]) (folders|labels|truth|wrong)\b"), r"\1=\2"),
    (re.compile(r"use `camq submit` for more"), "send more in another request"),
)
#: As `shared.contract.JobId`.
JOB_ID = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
#: Not within a word: an id or a file's name may have two hyphens in it.
_OPTION = re.compile(r"(?<![\w.-])--([a-z][a-z-]*[a-z])\b")


def without_command_line(text: str) -> str:
    """A sentence that the command prints as well, for who has no command."""
    for pattern, words in _COMMANDS:
        text = pattern.sub(words, text)
    return _OPTION.sub(lambda found: found[1].replace("-", "_"), text)


def fault_of(where: str, said: str, kind: Any, value: object = None) -> str:
    """What msgspec said of the value at this place of a request of type `kind`, such as `options.top_k`."""
    name = where or "request"
    if found := re.fullmatch(r"Object contains unknown field `(.*)`", said):
        known = _fields(_at(type_info(kind), where))
        return unknown_field(found[1], known, f" in {where}" if where else "")
    if found := re.fullmatch(r"Invalid enum value (.*)", said):
        return f"invalid {name} {found[1][:80]}: expected one of {', '.join(_values(_at(type_info(kind), where)))}"
    return f"invalid {name}: {_expected(said, value)}"


def unknown_field(name: str, known: Sequence[str], place: str = "") -> str:
    """The sentence about a field that a request must not have; all that it may have where none is near."""
    hint = did_you_mean(name, known)
    return f"unknown field {name[:80]!r}{place}{hint}; fields: {', '.join(known)}"


def _expected(said: str, value: object) -> str:
    if found := re.fullmatch(r"Expected `(str|array)` of length (<=|>=) (\d+)", said):
        return f"expected {_BOUNDS[found[2]]} {count(int(found[3]), _ITEMS[found[1]])}"
    if found := re.fullmatch(r"Expected `(\w+)` (<=|>=|<|>) ([\d.e+-]+)", said):
        return f"expected {_TYPES.get(found[1], found[1])}, {_BOUNDS[found[2]]} {found[3]}"
    if found := re.fullmatch(r"Expected `([^`]*)`, got `(\w+)`", said):
        wanted = " or ".join(_TYPES.get(each, each) for each in found[1].split(" | "))
        got = repr(value)[:80] if isinstance(value, str) else _TYPES.get(found[2], found[2])
        return f"expected {wanted}, found {got}"
    if JOB_ID in said:
        return "expected a job's id: up to 64 letters, digits, '-' and '_', a letter or digit first"
    return re.sub(r"^Object missing required field `(.*)`$", r"the field '\1' is missing", said)


def _at(kind: Type, where: str) -> list[Type]:
    """The types that may stand at this place."""
    found = _unwrapped([kind])
    for step in re.findall(r"[^.\[\]]+", where):
        inner: list[Type] = []
        for each in found:
            if isinstance(each, StructType):
                inner += [field.type for field in each.fields if field.encode_name == step]
            elif isinstance(each, CollectionType) or hasattr(each, "item_type"):
                inner.append(each.item_type)
        found = _unwrapped(inner)
    return found


def _unwrapped(kinds: Iterable[Type]) -> list[Type]:
    """Without unions, and what is around a type."""
    found: list[Type] = []
    for kind in kinds:
        if isinstance(kind, UnionType):
            found += _unwrapped(kind.types)
        elif isinstance(kind, msgspec.inspect.Metadata):
            found += _unwrapped([kind.type])
        else:
            found.append(kind)
    return found


def _fields(kinds: list[Type]) -> list[str]:
    return [field.encode_name for kind in kinds if isinstance(kind, StructType) for field in kind.fields]


def _values(kinds: list[Type]) -> list[str]:
    found: list[str] = []
    for kind in kinds:
        if isinstance(kind, BoolType):
            found += ["true", "false"]
        elif isinstance(kind, LiteralType):
            found += map(str, kind.values)
        elif isinstance(kind, EnumType):
            found += [str(each.value) for each in kind.cls]
    return found
