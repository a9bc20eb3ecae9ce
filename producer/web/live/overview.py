"""What the first page shows: jobs, workers, and how long the queue is in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.contract import WorkerInfo
from shared.ledger.backlog import Backlog as Work

#: Newest jobs that are listed, and how many of them before the reader asks for more.
MOST_JOBS, JOBS_AT_ONCE = 100, 20


@dataclass(frozen=True, slots=True)
class Backlog:
    """Images that wait or run, and the seconds they take at the workers' present rate (None: unknown)."""

    images: int
    rate: float
    seconds: float | None


def backlog(work: Iterable[Work], workers: Sequence[WorkerInfo]) -> Backlog:
    """The backlog of all jobs together, however many there are."""
    images = sum(one.queued + one.running for one in work)
    rate = sum(worker.images_per_second for worker in workers)
    return Backlog(images, rate, images / rate if rate else None if images else 0.0)
