"""A job's records as they arrive, chunk by chunk, instead of in the order of its images."""

import time
from collections.abc import Iterable, Iterator

from producer.results.originals import DAMAGED
from producer.results.records import MOVING, records
from shared.contract import ImageRecord, ImageState, JobStatus
from shared.ledger import RedisLedger
from shared.ledger.chunks import oldest_first
from shared.storage.job_objects import read_results
from shared.storage.port import ObjectStore

#: A look at the chunks of a job of millions takes a while; it may take a tenth of the time.
_REST = 10.0


def arrivals(
    ledger: RedisLedger, store: ObjectStore, job: str, statuses: Iterable[JobStatus], *, threads: int
) -> Iterator[ImageRecord]:
    """Each image's record once, when it has its final state. `statuses` are those of `watch.follow`."""
    known: set[tuple[str, int]] = set()
    given = bytearray()  # one byte per image, for a job may have millions
    counted, next_look = 0, 0.0
    options = ledger.options(job)

    def is_new(record: ImageRecord) -> bool:
        if record.state in MOVING:
            return False
        given.extend(bytes(max(0, record.index + 1 - len(given))))
        before, given[record.index] = given[record.index], 1
        return not before

    for status in statuses:
        if status.done > counted and (status.state.finished or time.monotonic() >= next_look):
            counted = status.done
            began = time.monotonic()
            fresh = [entry for entry in ledger.done(job) if (entry.chunk, entry.attempt) not in known]
            total = ledger.status(job).total
            next_look = time.monotonic() + _REST * (time.monotonic() - began)
            failed_since: set[int] = set()
            entries = oldest_first(fresh)
            # What was retried or quarantined, the newest first, before the chunks that it came from.
            later = [entry for entry in reversed(entries) if entry.parent is not None]
            for entry in (*later, *(entry for entry in entries if entry.parent is None)):
                known.add((entry.chunk, entry.attempt))
                if entry.failed:
                    failed_since.add(entry.first)
                    continue
                try:
                    lines = read_results(store, job, entry.chunk, entry.attempt, options=options, total=total)
                except DAMAGED:
                    continue  # `records` says at the end what was lost
                lines = [line for line in lines if line.index not in failed_since]
                yield from filter(is_new, _current(ledger, job, lines))
    # What ended without a worker, such as a cancelled image, is in no chunk's results.
    if sum(given) < counted:
        yield from filter(is_new, records(ledger, store, job, threads=threads))


def _current(ledger: RedisLedger, job: str, lines: list[ImageRecord]) -> list[ImageRecord]:
    """The lines without failures that a retry has taken back."""
    if all(line.state is not ImageState.FAILED for line in lines):
        return lines
    states = ledger.image_states(job)
    return [line for line in lines if line.state is not ImageState.FAILED or [line.state] == states[line.index :][:1]]
