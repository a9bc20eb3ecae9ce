"""A chunk's record as the scripts store it (lua/_common.lua explains the letters)."""

import msgspec

from shared.errors import MessageError


class ChunkRecord(
    msgspec.Struct,
    frozen=True,
    rename={"first": "f", "count": "n", "state": "s", "attempt": "a", "parent": "p", "indices": "x", "digest": "d"},
):
    """What readers need of a record; the scripts own the rest."""

    first: int
    count: int
    state: str
    attempt: int
    parent: str | None = None
    indices: tuple[int, ...] | None = None
    digest: str = ""


def decode_chunk(raw: str) -> ChunkRecord:
    """The record in `raw`. Raises MessageError when it is none."""
    try:
        return msgspec.json.decode(raw, type=ChunkRecord)
    except msgspec.MsgspecError as error:
        raise MessageError(f"not a chunk record: {error}") from error
