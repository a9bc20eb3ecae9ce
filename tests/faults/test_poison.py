"""A picture that crashes the process that decodes it, from end to end."""

from pathlib import Path

import msgspec
import pytest

from producer import Client
from shared.config import Settings
from shared.ledger import RedisLedger
from tests.chaos.fleet import WorkerProcess, picture
from tests.faults.conftest import READY_S, Start
from tests.faults.poisoned.sitecustomize import HANG, MARK
from tests.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

SITE = str(Path(__file__).with_name("poisoned"))


def test_a_picture_that_crashes_its_process_ends_as_poison_and_its_neighbours_succeed(
    fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """Two workers die of it, which could be chance; then its own process dies of it twice, which is proof."""
    workers: list[WorkerProcess] = []

    def tended() -> bool:
        """Whether the job has finished; keeps two workers running, and starts at most three."""
        dead = [worker for worker in workers if worker.process.poll() is not None]
        if len(dead) == 3:
            pytest.fail("the third worker died, where only its child should have met the picture")
        if len(workers) < min(len(dead) + 2, 3):
            workers.append(start(fast, wait=False, env={"PYTHONPATH": SITE}))
        return bool(ledger.workers()) and job is not None and job.status().state.finished

    job = None
    wait_until(lambda: tended() or workers[0].ready(ledger), "the first worker is ready", READY_S)
    pictures = [picture(n) for n in range(8)]
    job = client.submit([*pictures[:3], pictures[3] + MARK, *pictures[4:]], top_k=1, priority="bulk")
    wait_until(tended, "the job has ended", 3 * READY_S)

    results = list(job.results())
    assert [found.state for found in results] == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 4
    error = results[3].error
    assert error is not None
    assert (error.code, "decode" in error.message) == ("poison", True)
    assert sum(worker.process.poll() is not None for worker in workers) == 2, "only the process that decodes dies"


@pytest.mark.slow
def test_a_decode_that_never_ends_fails_its_picture_and_the_process_is_replaced(
    fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """The process finishes its other pictures and then ends, although one of its threads never returns."""
    worker = start(msgspec.structs.replace(fast, decode_s=2.0), env={"PYTHONPATH": SITE})
    pictures = [picture(n) for n in range(8)]
    job = client.submit([*pictures[:3], pictures[3] + HANG, *pictures[4:]], top_k=1, priority="bulk")

    assert worker.process.wait(READY_S) == 75
    start(fast, wait=False)
    job.wait(timeout=READY_S)
    results = list(job.results())
    assert [found.state for found in results] == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 4
    assert results[3].error is not None
    assert results[3].error.code == "timeout"
