"""Jobs whose chunk records somebody wrote over or removed: made again from what lies in the bucket."""

import hashlib
import re
from collections.abc import Mapping

from shared import keys
from shared.contract import ImageRecord, ImageRef, decode_lines
from shared.errors import MessageError, NotFoundError
from shared.ledger import RedisLedger
from shared.ledger.chunks import ChunkRecord, decode_chunk
from shared.storage.job_objects import MAX_BYTES
from shared.storage.port import ObjectStore

#: Images of a chunk at most.
_MOST = 256
#: Of a job in one call; the next audit of the job finds the others.
_CHUNKS_AT_ONCE = 200
_DESCENDANT = re.compile(r"([rq]\d+)+$")


def restore(ledger: RedisLedger, store: ObjectStore, job: str) -> int:
    """Queues the images again that no worker holds and nobody will send; returns how many.

    To be called for a job that is `Reaped.stranded`. A chunk that ended keeps its answer. The images of a chunk whose
    references are gone too fail as `not_found`, when their turn comes.
    """
    rows, states = ledger.chunk_rows(job)
    known = {name: record for name, row in rows.items() if (record := _readable(row, len(states)))}
    registered = _names(store, f"jobs/{job}/chunks/") | {_DESCENDANT.sub("", name) for name in rows}
    made: dict[str, ChunkRecord] = {}
    for name in sorted(registered - known.keys(), key=_by_number)[:_CHUNKS_AT_ONCE]:
        if record := _submitted(store, job, name, known, len(states)):
            made[name] = known[name] = record
    for name in sorted(rows.keys() - known.keys())[:_CHUNKS_AT_ONCE]:
        origin = _DESCENDANT.sub("", name)
        if origin in known and origin != name:
            made[name] = _descendant(store, job, name, origin, known[origin])
    waiting: dict[str, list[int]] = {}
    for name, record in known.items():
        if record.parent is None:
            part = states[record.first : record.first + record.count]
            if indices := [record.first + found.start() for found in re.finditer("[qr]", part)]:
                waiting[name] = indices
    return ledger.restore(job, made, dict(sorted(waiting.items())[:_CHUNKS_AT_ONCE]))


def _readable(row: str, images: int) -> ChunkRecord | None:
    try:
        record = decode_chunk(row)
    except MessageError:
        return None
    return record if record.first >= 0 and 1 <= record.count <= images - record.first else None


def _by_number(name: str) -> tuple[int, str]:
    return len(name), name


def _submitted(
    store: ObjectStore, job: str, name: str, known: Mapping[str, ChunkRecord], images: int
) -> ChunkRecord | None:
    """The record of a chunk as it was submitted; None when all images are those of other chunks."""
    # Chunks are numbered in the order of their images, without a gap.
    others = [(_by_number(other), record) for other, record in known.items() if record.parent is None]
    first = max((r.first + r.count for other, r in others if other < _by_number(name)), default=0)
    stop = min((r.first for other, r in others if other > _by_number(name)), default=images)
    count, digest = min(stop - first, _MOST), ""
    try:
        data = store.get(keys.chunk_object(job, name), MAX_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        indices = [reference.index for reference in decode_lines(data, ImageRef)]
        if indices == list(range(first, first + len(indices))) and len(indices) <= stop - first:
            count = len(indices)
    except (NotFoundError, MessageError):
        pass  # the worker that claims its images says so
    if count < 1:
        return None
    attempt = _newest_attempt(store, job, name)
    return ChunkRecord(first, count, "d" if attempt else "x", attempt, digest=digest)


def _descendant(store: ObjectStore, job: str, name: str, origin: str, parent: ChunkRecord) -> ChunkRecord:
    """The record of a chunk that was split or retried from `origin`."""
    attempt = _newest_attempt(store, job, name)
    try:
        lines = decode_lines(store.get(keys.results_object(job, name, attempt), MAX_BYTES), ImageRecord)
    except (NotFoundError, MessageError):
        lines = []
    indices = tuple(line.index for line in lines)
    if not indices:  # it keeps its name: a worker that was held up may still write its results
        return ChunkRecord(parent.first, parent.count, "x", 0, origin)
    return ChunkRecord(indices[0], len(indices), "d", attempt, origin, indices)


def _newest_attempt(store: ObjectStore, job: str, name: str) -> int:
    """0 when none got as far as its results."""
    found = _names(store, f"jobs/{job}/results/{name}-")
    return max((int(attempt) for attempt in found if attempt.isdecimal() and len(attempt) < 10), default=0)


def _names(store: ObjectStore, prefix: str) -> set[str]:
    """Of the JSON lines below this prefix."""
    return {key.removeprefix(prefix).removesuffix(".jsonl") for key, _ in store.list(prefix) if key.endswith(".jsonl")}
