"""A job's results: one record per image, in index order, chunk by chunk."""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from producer.parallel import ordered
from shared.contract import ErrorInfo, ImageRecord, ImageRef, ImageState
from shared.errors import UsageError
from shared.ledger import RedisLedger
from shared.ledger.chunks import by_origin
from shared.ledger.values import Done
from shared.storage.job_objects import read_references, read_results
from shared.storage.port import ObjectStore

#: States that an image leaves by itself.
MOVING = frozenset({ImageState.QUEUED, ImageState.RUNNING})
_CAPPED = ErrorInfo("inference", "the image failed; the ledger does not keep the details of so many failures")


def records(ledger: RedisLedger, store: ObjectStore, job: str, *, threads: int = 8) -> Iterator[ImageRecord]:
    """The record of every registered image of the job; a few chunks are in memory at once.

    Raises UnknownJobError at once for a job that is not there.
    """
    snapshot = _Snapshot(ledger, store, job)
    return (line for chunk in ordered(snapshot.load, snapshot.digests, threads=threads) for line in chunk)


def record_at(ledger: RedisLedger, store: ObjectStore, job: str, index: int) -> ImageRecord:
    """One image's record, whatever the size of the job. UsageError when the job has no image of this index."""
    holders = ledger.holders(job, [index])
    snapshot = _Snapshot(ledger, store, job)
    for chunk in holders:
        return next(record for record in snapshot.load(chunk) if record.index == index)
    raise UsageError(f"job {job} has no image {index}: its images are 0 to {ledger.status(job).total - 1}")


def records_from(ledger: RedisLedger, store: ObjectStore, job: str, first: int, most: int) -> Iterator[ImageRecord]:
    """The records of at most `most` images from this index on, reading only the chunks that hold them."""
    snapshot = _Snapshot(ledger, store, job)
    wanted = range(first, first + most)
    for chunk in ledger.holders(job, wanted):
        yield from (record for record in snapshot.load(chunk) if record.index in wanted)


class _Snapshot:
    """What the ledger says of a job at one moment."""

    def __init__(self, ledger: RedisLedger, store: ObjectStore, job: str) -> None:
        self._known = ledger.snapshot(job)
        self._done = by_origin(self._known.done)
        #: Of each submitted chunk, in the order of their images, the digest of its references.
        self.digests = self._known.digests
        self._store = store
        self._job = job

    def references(self, chunk: str) -> list[ImageRef]:
        return read_references(self._store, self._job, chunk, self.digests[chunk])

    def load(self, chunk: str) -> list[ImageRecord]:
        done = self._done.get(chunk, [])
        lines: dict[int, ImageRecord] = {}  # what a later chunk says of an image replaces what an earlier one said
        for entry in done:
            if entry.failed:
                lines.pop(entry.first, None)  # the ledger has the reason
            else:
                lines |= {line.index: line for line in self._committed(entry)}
        complete = any(entry.parent is None and entry.count == len(lines) for entry in done)
        # Nothing else needs to be read then. A worker that had no references to read left the sources empty.
        if complete and all(line.source for line in lines.values()):
            references = [_reference(lines[index]) for index in sorted(lines)]
        else:
            references = self.references(chunk)
        return [
            msgspec.structs.replace(
                self._record(reference, lines.get(reference.index)),
                id=reference.id or None,
                fields=reference.fields,
                name=self._known.name,
                tags=self._known.tags,
            )
            for reference in references
        ]

    def _committed(self, entry: Done) -> list[ImageRecord]:
        return read_results(
            self._store, self._job, entry.chunk, entry.attempt, options=self._known.options, total=self._known.total
        )

    def _record(self, reference: ImageRef, line: ImageRecord | None) -> ImageRecord:
        index = reference.index
        state = self._known.states[index] if index < len(self._known.states) else ImageState.QUEUED
        # The ledger knows of a retry, or of a cancel after it, before a newer line does.
        outdated = line is not None and line.state is ImageState.FAILED and state is not ImageState.FAILED
        if line is not None and not outdated:
            return line
        error = None
        if state is ImageState.FAILED:
            error = self._known.failures.get(index) or reference.error or _CAPPED
        return ImageRecord(index=index, source=reference.source, state=state, error=error)


def _reference(line: ImageRecord) -> ImageRef:
    """As much of the image's reference as a record needs."""
    return ImageRef(index=line.index, source=line.source, id=line.id or UNSET, fields=line.fields)
