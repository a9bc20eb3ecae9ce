"""A job's results: one record per image, in index order, chunk by chunk."""

from collections import defaultdict
from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from producer.parallel import ordered
from shared import keys
from shared.contract import ErrorInfo, ImageRecord, ImageRef, decode_lines
from shared.errors import UsageError
from shared.ledger.values import Done, Jobs
from shared.states import ImageState
from shared.storage.port import ObjectStore

#: States that an image leaves by itself.
MOVING = frozenset({ImageState.QUEUED, ImageState.RUNNING})
_CAPPED = ErrorInfo("inference", "the image failed; the ledger does not keep the details of so many failures")


def records(ledger: Jobs, store: ObjectStore, job: str, *, threads: int = 8) -> Iterator[ImageRecord]:
    """The record of every registered image of the job; a few chunks are in memory at once.

    Raises UnknownJobError at once for a job that is not there.
    """
    snapshot = _Snapshot(ledger, store, job)
    return (line for chunk in ordered(snapshot.load, ledger.chunks(job), threads=threads) for line in chunk)


def record_at(ledger: Jobs, store: ObjectStore, job: str, index: int) -> ImageRecord:
    """One image's record, whatever the size of the job. UsageError when the job has no image of this index."""
    snapshot = _Snapshot(ledger, store, job)
    for chunk in ledger.holders(job, [index]):
        return next(record for record in snapshot.load(chunk) if record.index == index)
    raise UsageError(f"job {job} has no image {index}: its images are 0 to {ledger.status(job).total - 1}")


class _Snapshot:
    """What the ledger says of a job at one moment."""

    def __init__(self, ledger: Jobs, store: ObjectStore, job: str) -> None:
        status = ledger.status(job)
        self._name, self._tags = status.name, status.tags
        # The states first: an image whose commit they show has its results object in `done`, which is read after.
        self._states = ledger.image_states(job)
        self._failures = ledger.failures(job)
        self._done = _by_origin(ledger.done(job))
        self._store = store
        self._job = job

    def references(self, chunk: str) -> list[ImageRef]:
        return decode_lines(self._store.get(keys.chunk_object(self._job, chunk)), ImageRef)

    def load(self, chunk: str) -> list[ImageRecord]:
        done = self._done.get(chunk, [])
        lines = _lines(self._store, self._job, done)
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
                name=self._name,
                tags=self._tags,
            )
            for reference in references
        ]

    def _record(self, reference: ImageRef, line: ImageRecord | None) -> ImageRecord:
        index = reference.index
        state = self._states[index] if index < len(self._states) else ImageState.QUEUED
        # The ledger knows of a retry, or of a cancel after it, before a newer line does.
        outdated = line is not None and line.state is ImageState.FAILED and state is not ImageState.FAILED
        if line is not None and not outdated:
            return line
        error = None
        if state is ImageState.FAILED:
            error = self._failures.get(index) or reference.error or _CAPPED
        return ImageRecord(index=index, source=reference.source, state=state, error=error)


def _reference(line: ImageRecord) -> ImageRef:
    """As much of the image's reference as a record needs."""
    return ImageRef(index=line.index, source=line.source, id=line.id or UNSET)


def _by_origin(done: list[Done]) -> dict[str, list[Done]]:
    """The committed chunks by the submitted chunk their images came from, retries after what they repeat."""
    result: dict[str, list[Done]] = defaultdict(list)
    for entry in sorted(done, key=lambda entry: (len(entry.chunk), entry.chunk)):
        result[entry.parent or entry.chunk].append(entry)
    return result


def _lines(store: ObjectStore, job: str, done: list[Done]) -> dict[int, ImageRecord]:
    """The results by index; what a later chunk says of an image replaces what an earlier one said."""
    lines: dict[int, ImageRecord] = {}
    for entry in done:
        lines |= {line.index: line for line in committed(store, job, entry)}
    return lines


def committed(store: ObjectStore, job: str, entry: Done) -> list[ImageRecord]:
    """The lines that a chunk's worker wrote."""
    return decode_lines(store.get(keys.results_object(job, entry.chunk, entry.attempt)), ImageRecord)
