"""Workers that are killed or stopped at the exact places where a queue on Redis could lose or repeat work."""

import signal
import time

import msgspec
import pytest

from producer import Client
from shared import keys
from shared.config import Settings
from shared.ledger import RedisLedger
from shared.storage import S3Store
from tests.chaos.fleet import WorkerProcess, picture
from tests.faults.conftest import READY_S, Start
from tests.faults.killed_worker import WINDOWS
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

IMAGES = 24


def overlays(store: S3Store, job: str) -> dict[str, bytes]:
    prefix = keys.job_prefix(job) + "overlays/"
    return {key.removeprefix(prefix): store.get(key) for key, _ in store.list(prefix)}


def ended(worker: WorkerProcess) -> int | None:
    return worker.process.poll()


#: The one of `make test`: most is done, and nothing of it is counted yet.
QUICK = "after the upload, before the commit"


@pytest.mark.parametrize(
    "window", [pytest.param(name, marks=[] if name == QUICK else [pytest.mark.slow]) for name in WINDOWS]
)
def test_a_worker_killed_at_any_place_loses_and_repeats_nothing(
    window: str, fast: Settings, ledger: RedisLedger, client: Client, start: Start, s3_store: S3Store
) -> None:
    """Another worker finishes its chunks; every image is counted once and has one result and one overlay."""
    doomed = start(fast, window, "SIGKILL", module="tests.faults.killed_worker")
    job = client.submit([picture(n) for n in range(IMAGES)], top_k=1, priority="bulk")
    wait_until(lambda: ended(doomed) == -signal.SIGKILL, "the worker met its end", READY_S)
    start(fast, wait=False)

    status = job.wait(timeout=READY_S)
    assert (status.succeeded, status.failed, status.total) == (IMAGES, 0, IMAGES)
    assert [found.index for found in job.results()] == list(range(IMAGES))
    assert sorted(overlays(s3_store, job.id)) == sorted(f"{n}-1.jpg" for n in range(IMAGES))


@pytest.mark.slow
def test_a_worker_stopped_past_its_lease_neither_counts_nor_overwrites(
    fast: Settings, ledger: RedisLedger, client: Client, start: Start, s3_store: S3Store
) -> None:
    """When it wakes, another attempt has been committed, and its own results are refused."""
    zombie = start(fast, "after the upload, before the commit", "SIGSTOP", module="tests.faults.killed_worker")
    job = client.submit([picture(n) for n in range(8)], top_k=1, priority="bulk")
    start(fast, wait=False)
    status = job.wait(timeout=READY_S)
    before, (counted,) = overlays(s3_store, job.id), ledger.done(job.id)
    assert counted.attempt == 2, "the zombie committed before it was stopped"
    answer = s3_store.get(keys.results_object(job.id, counted.chunk, counted.attempt))
    zombie.signal(signal.SIGCONT)
    wait_until(lambda: "lease lost" in zombie.text(), "the zombie learned that it is one", READY_S)

    assert status.succeeded == 8
    assert job.status() == status
    assert ledger.done(job.id) == [counted]
    assert s3_store.get(keys.results_object(job.id, counted.chunk, counted.attempt)) == answer
    assert overlays(s3_store, job.id) == before
    wait_until(lambda: zombie.ready(ledger), "it takes chunks again")


@pytest.mark.slow
def test_pictures_that_two_killed_workers_held_are_not_condemned(
    fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """Their chunk was charged twice, so each picture goes through quarantine alone, and succeeds."""
    doomed = start(fast, "after the claim", "SIGKILL", module="tests.faults.killed_worker")
    job = client.submit([picture(n) for n in range(4)], top_k=1, priority="bulk")
    wait_until(lambda: ended(doomed) == -signal.SIGKILL, "the first is dead", READY_S)
    another = start(fast, "after the claim", "SIGKILL", module="tests.faults.killed_worker", wait=False)
    wait_until(lambda: ended(another) == -signal.SIGKILL, "the second is dead", READY_S)
    start(fast, wait=False)

    status = job.wait(timeout=2 * READY_S)
    assert (status.succeeded, status.failed) == (4, 0)
    assert sorted(done.chunk for done in ledger.done(job.id)) == [f"000000q{n}" for n in range(1, 5)]


@pytest.mark.slow
def test_with_the_defaults_the_work_of_a_killed_worker_runs_elsewhere_within_20_seconds(
    stack: object, fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """The default lease is 12 s, and the reaper looks every 2 s."""
    settings = msgspec.structs.replace(fast, lease_s=12.0)
    start(settings)
    doomed = start(settings, "after the claim", "SIGKILL", module="tests.faults.killed_worker")
    job = client.submit([picture(n) for n in range(64)], top_k=1, priority="bulk")
    wait_until(lambda: ended(doomed) == -signal.SIGKILL, "the worker met its end", READY_S)
    died = time.monotonic()

    assert job.wait(timeout=READY_S).succeeded == 64
    assert time.monotonic() - died < 20
