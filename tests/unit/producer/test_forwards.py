"""How far an evaluation is within its pictures, from lines of workers and counters of a job."""

from typing import cast

import msgspec
import pytest

from producer import forwards
from producer.forwards import Forwards
from shared.contract import JobState, Options, WorkerInfo
from shared.ledger import RedisLedger
from tests.browser.galleries import status_of

OPTIONS = Options(evaluate=("cam", "layercam"))  # 100 forwards for each picture
RUNNING = msgspec.structs.replace(
    status_of([]), total=10, queued=2, running=8, succeeded=0, failed=0, finished_at=None, state=JobState.RUNNING
)


class Workers:
    """The ledger's registry, as far as it is asked."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[str, dict[int, int]]] = {}

    def workers(self) -> list[WorkerInfo]:
        return [
            WorkerInfo(worker=name, host="h", pid=1, device="cpu", models=(model,), state="busy", batch_sizes=sizes)
            for name, (model, sizes) in self.lines.items()
        ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the module sees."""
    now = [100.0]
    monkeypatch.setattr(forwards.time, "monotonic", lambda: now[0])
    return now


def test_what_workers_report_becomes_progress_and_time_left(clock: list[float]) -> None:
    """Only new forwards of the model's own workers count; between two looks the words stay."""
    known = Workers()
    known.lines = {"a": (RUNNING.model, {16: 100}), "b": ("other@1", {16: 5})}
    progress = Forwards(cast(RedisLedger, known), OPTIONS)

    assert progress.of(RUNNING) == "0 of about 1,000 forwards"
    known.lines = {"a": (RUNNING.model, {16: 106, 4: 1}), "b": ("other@1", {16: 50})}
    assert progress.of(RUNNING) == "0 of about 1,000 forwards"
    clock[0] += 10
    assert progress.of(RUNNING) == "100 of about 1,000 forwards, 1 min 30 s left"


def test_other_jobs_on_the_same_workers_do_not_carry_it_past_its_own_pictures(clock: list[float]) -> None:
    """It has made all forwards of what is done, and none of what is still queued."""
    known = Workers()
    known.lines = {"a": (RUNNING.model, {})}
    progress = Forwards(cast(RedisLedger, known), OPTIONS)
    progress.of(RUNNING)

    known.lines = {"a": (RUNNING.model, {16: 1000})}
    clock[0] += 8
    assert progress.of(RUNNING).startswith("800 of about 1,000 forwards, 2.0 s")
    clock[0] += 8
    moved = msgspec.structs.replace(RUNNING, succeeded=9, queued=0, running=1)
    assert progress.of(moved).startswith("1,000 of about 1,000 forwards, 0.0 s")


def test_a_look_back_at_a_job_begins_with_what_is_done(clock: list[float]) -> None:
    """`camq evaluate JOB` of one that runs: the rate is that of what it sees itself."""
    known = Workers()
    known.lines = {"a": (RUNNING.model, {16: 40})}
    half = msgspec.structs.replace(RUNNING, succeeded=5, running=5, queued=0)
    progress = Forwards(cast(RedisLedger, known), OPTIONS)

    assert progress.of(half) == "500 of about 1,000 forwards"
    known.lines = {"a": (RUNNING.model, {16: 40, 10: 10})}
    clock[0] += 10
    assert progress.of(half) == "600 of about 1,000 forwards, 40 s left"
