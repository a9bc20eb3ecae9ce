"""A job's results: one record per image, in index order, chunk by chunk."""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from producer.parallel import ordered
from shared.contract import ErrorInfo, ImageRecord, ImageRef, ImageState, JobStatus
from shared.errors import UsageError
from shared.ledger import RedisLedger
from shared.ledger.chunks import by_origin, image_at
from shared.ledger.values import Done, Snapshot
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
    """One image's record. Reads one chunk, whatever the size of the job. UsageError when there is no such image."""
    found = image_at(ledger, job, index)
    status = ledger.status(job)
    if found is None:
        raise UsageError(f"job {job} has no image {index}: its images are 0 to {status.total - 1}")
    line = None
    if found.done and not found.done[-1].failed:
        newest = found.done[-1]
        options = ledger.options(job)
        lines = read_results(store, job, newest.chunk, newest.attempt, options=options, total=status.total)
        line = next((line for line in lines if line.index == index), None)
    if line is not None and line.source:
        reference = _reference(line)
    else:
        references = read_references(store, job, found.chunk, found.digest)
        reference = next(reference for reference in references if reference.index == index)
    return _of_job(status, reference, _record(reference, line, found.state, found.failure))


def records_from(
    ledger: RedisLedger, store: ObjectStore, job: str, first: int, most: int, *, threads: int = 1
) -> Iterator[ImageRecord]:
    """The records of at most `most` images from this index on, reading only the chunks that hold them."""
    snapshot = _Snapshot(ledger, store, job)
    wanted = range(first, first + most)
    for found in ordered(snapshot.load, ledger.holders(job, wanted), threads=threads):
        yield from (record for record in found if record.index in wanted)


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
            _of_job(self._known, reference, self._record(reference, lines.get(reference.index)))
            for reference in references
        ]

    def _committed(self, entry: Done) -> list[ImageRecord]:
        return read_results(
            self._store, self._job, entry.chunk, entry.attempt, options=self._known.options, total=self._known.total
        )

    def _record(self, reference: ImageRef, line: ImageRecord | None) -> ImageRecord:
        index = reference.index
        state = self._known.states[index] if index < len(self._known.states) else ImageState.QUEUED
        return _record(reference, line, state, self._known.failures.get(index))


def _record(reference: ImageRef, line: ImageRecord | None, state: ImageState, failure: ErrorInfo | None) -> ImageRecord:
    # The ledger knows of a retry, or of a cancel after it, before a newer line does.
    outdated = line is not None and line.state is ImageState.FAILED and state is not ImageState.FAILED
    if line is not None and not outdated:
        return line
    error = (failure or reference.error or _CAPPED) if state is ImageState.FAILED else None
    return ImageRecord(index=reference.index, source=reference.source, state=state, error=error)


def _of_job(job: JobStatus | Snapshot, reference: ImageRef, record: ImageRecord) -> ImageRecord:
    """With what the user gave to the image and to its job."""
    return msgspec.structs.replace(
        record, id=reference.id or None, fields=reference.fields, name=job.name, tags=job.tags
    )


def _reference(line: ImageRecord) -> ImageRef:
    """As much of the image's reference as a record needs."""
    return ImageRef(index=line.index, source=line.source, id=line.id or UNSET, fields=line.fields)
