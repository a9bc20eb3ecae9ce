"""Services that go away while a worker works: the worker waits, and no image fails."""

import os
import signal
from contextlib import suppress

import msgspec
import pytest

from producer import Client
from producer.local.embedded import Stack
from shared.config import Settings
from shared.errors import UnreachableError
from shared.ledger import RedisLedger
from tests.chaos.fleet import picture
from tests.chaos.proxy import Mode, Proxy
from tests.faults.conftest import READY_S, Start
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

OUTAGES = [Mode.REFUSE, Mode.RESET, Mode.BUSY, Mode.FULL, Mode.DENIED, Mode.WRONG_REGION, Mode.SILENT, Mode.SLOW]
ANSWERED = {Mode.RESET, Mode.BUSY, Mode.FULL, Mode.DENIED, Mode.WRONG_REGION}
IMAGES = 160


def moved(client: Client, job: str, by: int = 1) -> bool:
    return client.job(job).status().done >= by


def test_storage_that_goes_away_is_waited_out(
    s3_proxy: tuple[Proxy, Settings], ledger: RedisLedger, client: Client, start: Start
) -> None:
    """Everything that storage can do to us follows one after the other during a job, and every image succeeds."""
    proxy, through = s3_proxy
    worker = start(through)
    job = client.submit([picture(n) for n in range(IMAGES)], top_k=1, priority="bulk")
    wait_until(lambda: moved(client, job.id), "the first images are done", READY_S)
    for mode in OUTAGES:
        proxy.set(mode)
        if mode is Mode.REFUSE:
            wait_until(lambda: "waiting for a service" in worker.text(), "the worker notices the refusal", READY_S)
        elif mode in ANSWERED:
            wait_until(
                lambda mode=mode: proxy.met[mode] > 0 or job.status().state.finished,
                f"a connection meets storage that is {mode}",
                READY_S,
            )
        proxy.set(Mode.PASS)

    status = job.wait(timeout=2 * READY_S)
    assert (status.succeeded, status.failed) == (IMAGES, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (Mode.REFUSE, "127.0.0.1"),
        (Mode.DENIED, "AccessDenied"),
        (Mode.WRONG_REGION, "CAMQ_S3_REGION"),
        (Mode.FULL, "Full"),
    ],
)
def test_storage_that_refuses_us_is_waited_for_and_shown(
    s3_proxy: tuple[Proxy, Settings], ledger: RedisLedger, client: Client, start: Start, mode: Mode, reason: str
) -> None:
    """The worker's line says why its work waits, until an operator has mended it; no image fails, none is charged.
    After CAMQ_OUTAGE_LIMIT the chunk is handed back; another attempt runs it."""
    proxy, through = s3_proxy
    worker = start(msgspec.structs.replace(through, outage_limit=1.0))
    proxy.set(mode)
    job = client.submit([picture(n) for n in range(8)], top_k=1, priority="bulk")

    def shown() -> str:
        info = worker.info(ledger)
        return (info and info.waiting_for) or ""

    wait_until(lambda: reason in shown(), "the line has the reason", READY_S)
    wait_until(lambda: "chunk handed back" in worker.text(), "the worker gives the chunk back", READY_S)
    assert job.status().failed == 0
    assert worker.text().count("waiting for a service") == 1  # not once for each image that waits
    proxy.set(Mode.PASS)

    assert job.wait(timeout=READY_S).succeeded == 8
    assert [done.attempt > 1 for done in ledger.done(job.id)] == [True]
    wait_until(lambda: not shown(), "the line is clear again", READY_S)


def test_redis_killed_and_started_again_loses_nothing(
    stack: Stack, fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """Redis restores everything from its append-only file, and the same worker process continues."""
    worker = start(fast)
    job = client.submit([picture(n) for n in range(IMAGES)], top_k=1, priority="bulk")
    wait_until(lambda: moved(client, job.id), "the first images are done", READY_S)
    for _ in range(2):
        killed = stack.pids()["redis"]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda killed=killed: stack.pids().get("redis", killed) != killed, "Redis runs again", READY_S)

    def finished() -> bool:
        with suppress(UnreachableError):  # it was killed a moment ago
            return job.status().state.finished
        return False

    wait_until(finished, "the job ends", READY_S)
    status = job.status()
    assert (status.succeeded, status.failed) == (IMAGES, 0)
    assert worker.process.poll() is None


@pytest.mark.slow
def test_a_silent_redis_is_waited_out(
    redis_proxy: tuple[Proxy, Settings], ledger: RedisLedger, client: Client, start: Start
) -> None:
    """The silence outlasts a lease: another worker may have taken the chunks, and each image still counts once."""
    proxy, through = redis_proxy
    worker = start(through)
    job = client.submit([picture(n) for n in range(IMAGES)], top_k=1, priority="bulk")
    wait_until(lambda: moved(client, job.id), "the first images are done", READY_S)
    proxy.set(Mode.SILENT)
    wait_until(lambda: "service lost" in worker.text(), "the worker notices", READY_S)
    proxy.set(Mode.RESET)
    proxy.set(Mode.PASS)

    status = job.wait(timeout=READY_S)
    assert (status.succeeded, status.failed) == (IMAGES, 0)
    assert worker.process.poll() is None
