"""A job's results: one record per image, in index order, chunk by chunk."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET

from producer.parallel import ordered
from producer.results.answered import Answered
from producer.results.originals import DAMAGED, references_of
from shared.contract import ErrorInfo, ImageRecord, ImageRef, ImageState, JobStatus
from shared.errors import UsageError
from shared.ledger import NewChunk, RedisLedger
from shared.ledger.chunks import by_origin, image_at
from shared.ledger.values import Done, Snapshot
from shared.storage.job_objects import read_references, read_results, results_in
from shared.storage.port import ObjectStore

#: States that an image leaves by itself.
MOVING = frozenset({ImageState.QUEUED, ImageState.RUNNING})
_LOST = "camq's record of this picture was damaged or removed"
#: Damaged chunks that a sentence names.
_NAMED = 5


def records(
    ledger: RedisLedger, store: ObjectStore, job: str, *, threads: int = 8, answered: Answered | None = None
) -> Iterator[ImageRecord]:
    """The record of every registered image of the job; a few chunks are in memory at once.

    An image whose answer was damaged or removed, in Redis or in the bucket, is `failed` with a sentence that says so.
    What was `answered` is not read again if it counts. Raises UnknownJobError at once for a job that is not there.
    """
    snapshot = _Snapshot(ledger, store, job, answered)
    return (line for part in ordered(snapshot.load, snapshot.parts, threads=threads) for line in part)


def record_at(ledger: RedisLedger, store: ObjectStore, job: str, index: int) -> ImageRecord:
    """One image's record. Reads one chunk, whatever the size of the job, unless something of the job is damaged.
    UsageError when there is no such image."""
    record = _alone(ledger, store, job, index) or next(records_from(ledger, store, job, index, 1), None)
    if record is None:
        raise UsageError(f"job {job} has no image {index}: its images are 0 to {ledger.status(job).total - 1}")
    return record


def _alone(ledger: RedisLedger, store: ObjectStore, job: str, index: int) -> ImageRecord | None:
    """The image's record, read without the others; None when it cannot be found so."""
    found = image_at(ledger, job, index)
    if found is None:
        return None
    status, line = ledger.status(job), None
    try:
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
    except (*DAMAGED, StopIteration):
        return None
    if line is None and found.state is ImageState.SUCCEEDED:
        return None
    return _of_job(status, reference, _record(reference, line, found.state, found.failure))


def records_from(
    ledger: RedisLedger, store: ObjectStore, job: str, first: int, most: int, *, threads: int = 1
) -> Iterator[ImageRecord]:
    """The records of at most `most` images from this index on, reading only the chunks that hold them."""
    snapshot = _Snapshot(ledger, store, job)
    wanted = range(first, first + most)
    parts = (part for part in snapshot.parts if part.first < wanted.stop and part.first + part.count > first)
    for found in ordered(snapshot.load, parts, threads=threads):
        yield from (record for record in found if record.index in wanted)


class _Snapshot:
    """What the ledger says of a job at one moment."""

    def __init__(self, ledger: RedisLedger, store: ObjectStore, job: str, answered: Answered | None = None) -> None:
        self._answered = answered
        self._ledger = ledger
        self._known = ledger.snapshot(job)
        self._done = by_origin(self._known.done)
        #: The submitted chunks, in the order of their images.
        self.parts = self._known.submitted
        self._store = store
        self._job = job

    def load(self, part: NewChunk) -> list[ImageRecord]:
        faults = [] if part.chunk else [_without_record(self._known.damaged)]
        lines: dict[int, ImageRecord] = {}  # what a later chunk says of an image replaces what an earlier one said
        for entry in self._done.get(part.chunk, []):
            if entry.failed:
                lines.pop(entry.first, None)  # the ledger has the reason
                continue
            try:
                lines |= {line.index: line for line in self._committed(entry)}
            except DAMAGED as error:
                faults.append(str(error))
        images = range(part.first, part.first + part.count)
        # Nothing else needs to be read then. A worker that had no references to read left the sources empty.
        if all(index in lines and lines[index].source for index in images):
            references = {index: _reference(lines[index]) for index in images}
        else:
            references = references_of(self._store, self._job, part, faults)
        if faults:
            self._ledger.status(self._job)  # UnknownJobError when it was removed meanwhile, with its objects
        return [self._record(references[index], lines.get(index), "; ".join(faults)) for index in images]

    def _committed(self, entry: Done) -> list[ImageRecord]:
        options, total = self._known.options, self._known.total
        if self._answered and (lines := self._answered.lines(entry.token)):
            return results_in(lines, self._job, options=options, total=total)
        return read_results(self._store, self._job, entry.chunk, entry.attempt, options=options, total=total)

    def _record(self, reference: ImageRef, line: ImageRecord | None, fault: str) -> ImageRecord:
        index = reference.index
        state = self._known.states[index] if index < len(self._known.states) else ImageState.QUEUED
        record = _record(reference, line, state, self._known.failures.get(index), fault)
        return _of_job(self._known, reference, record)


def _record(
    reference: ImageRef, line: ImageRecord | None, state: ImageState, failure: ErrorInfo | None, fault: str = ""
) -> ImageRecord:
    # The ledger knows of a retry, or of a cancel after it, before a newer line does.
    outdated = line is not None and line.state is ImageState.FAILED and state is not ImageState.FAILED
    if line is not None and not outdated:
        return line
    error = None
    if state in (ImageState.FAILED, ImageState.SUCCEEDED):  # of one that succeeded nobody has the answer any more
        what = f"{_LOST}: {fault}" if fault else _LOST
        error = failure or reference.error or ErrorInfo("internal", f"{what}; submit the picture again")
        state = ImageState.FAILED
    return ImageRecord(index=reference.index, source=reference.source, state=state, error=error)


def _without_record(damaged: Sequence[str]) -> str:
    if not damaged:
        return "Redis has no record of its chunk"
    return f"in Redis the record of chunk {', '.join(damaged[:_NAMED])} cannot be read"


def _of_job(job: JobStatus | Snapshot, reference: ImageRef, record: ImageRecord) -> ImageRecord:
    """With what the user gave to the image and to its job."""
    return msgspec.structs.replace(
        record, id=reference.id or None, fields=reference.fields, name=job.name, tags=job.tags
    )


def _reference(line: ImageRecord) -> ImageRef:
    """As much of the image's reference as a record needs."""
    return ImageRef(index=line.index, source=line.source, id=line.id or UNSET, fields=line.fields)
