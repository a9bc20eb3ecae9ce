"""The backlog in seconds."""

import pytest

from producer.web.live.pages import backlog
from shared.contract import WorkerInfo
from shared.ledger.backlog import Backlog as Work

WORKER = WorkerInfo(worker="w", host="h", pid=1, device="cpu", models=("m",), state="busy", images_per_second=5.0)


@pytest.mark.parametrize(
    ("work", "workers", "expected"),
    [
        ([], [], (0, 0.0)),
        ([Work(queued=30, running=20)], [WORKER, WORKER], (50, 5.0)),
        ([Work(queued=30), Work(queued=20)], [WORKER], (50, 10.0)),
        ([Work(queued=30)], [], (30, None)),
        ([Work()], [WORKER], (0, 0.0)),
    ],
    ids=["nothing", "one model", "two models", "no rate is known", "all done"],
)
def test_the_backlog_is_what_waits_over_what_the_workers_do(
    work: list[Work], workers: list[WorkerInfo], expected: tuple[int, float | None]
) -> None:
    """Of every model and priority; unknown while images wait and nobody works."""
    found = backlog(work, workers)

    assert (found.images, found.seconds) == expected
