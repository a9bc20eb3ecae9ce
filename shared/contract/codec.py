"""JSON both ways. Every field is checked when it is decoded: a malformed message is refused before it is used."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from shared.errors import MessageError, NewerSchemaError

#: Raised when a field changes meaning. Readers leave newer versions alone (`NewerSchemaError`).
SCHEMA_VERSION = 1
#: A chunk has at most 256 images. Short lines take many times their length in memory.
MOST_LINES = 4096

T = TypeVar("T")


def encode(value: object) -> bytes:
    """One JSON document, without a line end."""
    return msgspec.json.encode(value)


def decode(raw: bytes | str, kind: type[T]) -> T:
    """The value in `raw`, checked against `kind`.

    Raises NewerSchemaError for a newer `schema_version` and MessageError for anything else unreadable.
    """
    try:
        probe = msgspec.json.decode(raw, type=_Versioned)
        if probe.schema_version > SCHEMA_VERSION:
            raise NewerSchemaError(
                f"schema version {probe.schema_version} is newer than {SCHEMA_VERSION}, which this release knows"
            )
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError(f"not a valid {kind.__name__}: {error}") from error


def encode_lines(values: Iterable[object]) -> bytes:
    """JSON lines, one value each, every line ended."""
    return msgspec.json.Encoder().encode_lines(values)


def decode_lines(raw: bytes, kind: type[T]) -> list[T]:
    """The values of a JSON-lines document. Raises MessageError when a line is not a `kind`, or there are too many."""
    if raw.count(b"\n") > MOST_LINES:
        raise MessageError(f"it has more than {MOST_LINES:,} lines, and a chunk has 256 images at most")
    try:
        return msgspec.json.Decoder(kind).decode_lines(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError(f"not valid {kind.__name__} lines: {error}") from error


def prepare(*kinds: type[msgspec.Struct]) -> None:
    """To be called by a module whose types are decoded in threads, while it is imported.

    msgspec notes what it knows of a type when it is first decoded, and two threads that do so at once crash the process
    (0.22).
    """
    for kind in kinds:
        msgspec.json.Decoder(kind)


class _Versioned(msgspec.Struct):
    schema_version: int = SCHEMA_VERSION


prepare(_Versioned)
