"""A chunk's record as the scripts store it (lua/_common.lua explains the letters), and which chunk's answer counts.

An image that was retried or quarantined has one line in the results of each chunk that it was committed in. That of the
newest end counts. Ends are numbered by the ledger as they happen; the names of chunks say nothing about time.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from shared.contract import MAX_IMAGES_PER_JOB, ImageState, prepare
from shared.ledger.record import failures_of, states_of
from shared.ledger.values import Done, ImageAt, NewChunk

if TYPE_CHECKING:
    from shared.ledger.producer_side import RedisJobs


#: Images of one record, as the scripts check it (`_common.lua`).
MOST_IN_RECORD = 4096


class ChunkRecord(
    msgspec.Struct,
    frozen=True,
    rename={"first": "f", "count": "n", "state": "s", "attempt": "a", "parent": "p", "indices": "x", "digest": "d"}
    | {"end": "m", "token": "o"},
):
    """What readers need of a record; the scripts own the rest."""

    first: Annotated[int, Meta(ge=0, lt=MAX_IMAGES_PER_JOB)]
    count: Annotated[int, Meta(ge=1, le=MOST_IN_RECORD)]
    state: str
    attempt: int
    parent: str | None = None
    indices: tuple[int, ...] | None = None
    digest: str = ""
    end: int = 0
    token: str = ""


prepare(ChunkRecord)


#: A job's chunks by their ids.
Records = list[tuple[str, ChunkRecord]]

#: Images that no record holds are read in parts of so many.
_PART = 256


def _decoded(raw: Mapping[str, str] | None) -> Iterator[tuple[str, ChunkRecord | None]]:
    """Each chunk with its record, or with None for one that camq did not write, which must not hide the others."""
    for chunk, line in (raw or {}).items():
        try:
            yield chunk, msgspec.json.decode(line, type=ChunkRecord)
        except msgspec.MsgspecError:
            yield chunk, None


def in_order(raw: Mapping[str, str] | None) -> Records:
    """A job's hash of chunks, in the order of their images, without the records that cannot be read."""
    records = [(chunk, record) for chunk, record in _decoded(raw) if record]
    return sorted(records, key=lambda pair: (pair[1].first, pair[0]))


def damaged_of(raw: Mapping[str, str] | None) -> tuple[str, ...]:
    """The chunks of a job's hash whose records cannot be read."""
    return tuple(sorted(chunk for chunk, record in _decoded(raw) if record is None))


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


def submitted_of(records: Records, known: int, total: int) -> list[NewChunk]:
    """The chunks as they were submitted, in the order of their images: those below `total`, each image in one.

    Of the first `known` images those whose chunk's record was damaged or removed are in chunks without a name.
    """
    found: list[NewChunk] = []
    end = 0
    own = [(chunk, record) for chunk, record in records if record.parent is None]
    for (chunk, record), (_, following) in pairwise([*own, ("", _LAST)]):
        found += _without_record(end, min(record.first, known))
        stop = min(record.first + record.count, following.first if following.first > record.first else total, total)
        start = max(end, record.first)
        if start < stop:
            found.append(NewChunk(chunk, start, stop - start, record.digest))
            end = stop
    return [*found, *_without_record(end, known)]


_LAST = ChunkRecord(MAX_IMAGES_PER_JOB, 1, "", 0)


def _without_record(start: int, stop: int) -> list[NewChunk]:
    return [NewChunk("", first, min(_PART, stop - first), "") for first in range(start, stop, _PART)]


def done_of(records: Records) -> list[Done]:
    """The chunks that ended."""
    return [
        Done(
            chunk,
            record.attempt,
            record.first,
            record.count,
            record.parent,
            record.end,
            failed=record.state == "f",
            token=record.token,
        )
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
    record = dict(found).get(chunk)
    if record is None:  # a script reads it and this program does not: somebody else wrote it
        return None
    return ImageAt(
        (states_of(state) or [ImageState.QUEUED])[0],
        failures_of({str(index): failure}).get(index),
        chunk,
        record.digest,
        tuple(oldest_first(done_of(found))),
    )
