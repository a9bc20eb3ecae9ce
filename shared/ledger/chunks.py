"""A chunk's record as the scripts store it (lua/_common.lua explains the letters), and which chunk's answer counts.

An image that was retried or quarantined has one line in the results of each chunk that it was committed in. That of the
newest end counts. Ends are numbered by the ledger as they happen; the names of chunks say nothing about time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from shared.contract import ErrorInfo, ImageState, decode, prepare
from shared.errors import MessageError
from shared.ledger.record import states_of
from shared.ledger.values import Done, ImageAt

if TYPE_CHECKING:
    from shared.ledger.producer_side import RedisJobs


class ChunkRecord(
    msgspec.Struct,
    frozen=True,
    rename={"first": "f", "count": "n", "state": "s", "attempt": "a", "parent": "p", "indices": "x", "digest": "d"}
    | {"end": "m"},
):
    """What readers need of a record; the scripts own the rest."""

    first: int
    count: int
    state: str
    attempt: int
    parent: str | None = None
    indices: tuple[int, ...] | None = None
    digest: str = ""
    end: int = 0


prepare(ChunkRecord)


def decode_chunk(raw: str) -> ChunkRecord:
    """The record in `raw`. Raises MessageError when it is none."""
    try:
        return msgspec.json.decode(raw, type=ChunkRecord)
    except msgspec.MsgspecError as error:
        raise MessageError(f"not a chunk record: {error}") from error


def oldest_first(done: Iterable[Done]) -> list[Done]:
    """Ended chunks so that a later one's answer replaces an earlier one's."""
    # An earlier release numbered nothing (0): its retries have longer names than what they repeat.
    return sorted(done, key=lambda entry: (entry.end, len(entry.chunk), entry.chunk))


def by_origin(done: Iterable[Done]) -> dict[str, list[Done]]:
    """Ended chunks, oldest first, by the submitted chunk that their images came from."""
    result: dict[str, list[Done]] = defaultdict(list)
    for entry in oldest_first(done):
        result[entry.parent or entry.chunk].append(entry)
    return result


#: A job's chunks by their ids.
Records = list[tuple[str, ChunkRecord]]


def in_order(raw: Mapping[str, str]) -> Records:
    """A job's hash of chunks, in the order of their images."""
    records = [(chunk, decode_chunk(line)) for chunk, line in raw.items()]
    return sorted(records, key=lambda pair: (pair[1].first, pair[0]))


def digests_of(records: Records) -> dict[str, str]:
    """Of the chunks as they were submitted: the SHA-256 of their references."""
    return {chunk: record.digest for chunk, record in records if record.parent is None}


def done_of(records: Records) -> list[Done]:
    """The chunks that ended."""
    return [
        Done(chunk, record.attempt, record.first, record.count, record.parent, record.end, record.state == "f")
        for chunk, record in records
        if record.state in ("d", "f")
    ]


def image_at(ledger: "RedisJobs", job: str, index: int) -> ImageAt | None:
    """One image, whatever the size of the job; None when no chunk holds it."""
    answer = ledger.scripts("image_at", job, index, "")
    if not answer and (holders := ledger.holders(job, [index])):  # its chunk has a name of its own
        answer = ledger.scripts("image_at", job, index, next(iter(holders)))
    if not answer:
        return None
    state, failure, chunk, *flat = answer
    found = in_order(dict(zip(flat[::2], flat[1::2], strict=True)))
    return ImageAt(
        (states_of(state) or [ImageState.QUEUED])[0],
        decode(failure, ErrorInfo) if failure else None,
        chunk,
        digests_of(found).get(chunk, ""),
        tuple(oldest_first(done_of(found))),
    )
