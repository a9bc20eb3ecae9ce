"""What the first page shows: jobs, workers, and how long the queue is in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contract import JobStatus, WorkerInfo

#: Newest jobs that are listed, and whose images count as backlog.
MOST_JOBS = 100


@dataclass(frozen=True, slots=True)
class Backlog:
    """Images that wait or run, and the seconds they take at the workers' present rate (None: unknown)."""

    images: int
    rate: float
    seconds: float | None


def backlog(jobs: Sequence[JobStatus], workers: Sequence[WorkerInfo]) -> Backlog:
    """The backlog of all jobs together."""
    images = sum(job.queued + job.running for job in jobs if not job.state.finished)
    rate = sum(worker.images_per_second for worker in workers)
    return Backlog(images, rate, images / rate if rate else None if images else 0.0)
