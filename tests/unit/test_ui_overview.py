"""The backlog in seconds."""

import msgspec
import pytest

from producer.ui.overview import backlog
from shared.contract import JobStatus, WorkerInfo
from shared.states import JobState
from tests.browser.galleries import STATUS

WORKER = WorkerInfo(worker="w", host="h", pid=1, device="cpu", models=("m",), state="busy", images_per_second=5.0)


def job(state: JobState, **counts: int) -> JobStatus:
    return msgspec.structs.replace(STATUS, state=state, **counts)


@pytest.mark.parametrize(
    ("jobs", "workers", "expected"),
    [
        ([], [], (0, 0.0)),
        ([job(JobState.RUNNING, queued=30, running=20)], [WORKER, WORKER], (50, 5.0)),
        ([job(JobState.RUNNING, queued=30), job(JobState.QUEUED, queued=20)], [WORKER], (50, 10.0)),
        ([job(JobState.QUEUED, queued=30)], [], (30, None)),
        ([job(JobState.SUCCEEDED)], [WORKER], (0, 0.0)),
    ],
    ids=["nothing", "one job", "two jobs", "no rate is known", "all done"],
)
def test_the_backlog_is_what_waits_over_what_the_workers_do(
    jobs: list[JobStatus], workers: list[WorkerInfo], expected: tuple[int, float | None]
) -> None:
    """Of unfinished jobs only; unknown while images wait and nobody works."""
    found = backlog(jobs, workers)

    assert (found.images, found.seconds) == expected
