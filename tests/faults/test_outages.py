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
from tests.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

OUTAGES = [Mode.REFUSE, Mode.RESET, Mode.BUSY, Mode.SILENT, Mode.SLOW]
IMAGES = 160


def moved(client: Client, job: str, by: int = 1) -> bool:
    return client.job(job).status().done >= by


def test_storage_that_goes_away_is_waited_out(
    s3_proxy: tuple[Proxy, Settings], ledger: RedisLedger, client: Client, start: Start
) -> None:
    """Refusals, resets, 503, silence and slowness follow each other during one job, and every image succeeds."""
    proxy, through = s3_proxy
    worker = start(through)
    job = client.submit([picture(n) for n in range(IMAGES)], top_k=1, priority="bulk")
    wait_until(lambda: moved(client, job.id), "the first images are done", READY_S)
    for mode in OUTAGES:
        proxy.set(mode)
        if mode is Mode.REFUSE:
            wait_until(lambda: "waiting for a service" in worker.text(), "the worker notices the refusal", READY_S)
        elif mode in (Mode.RESET, Mode.BUSY):
            wait_until(
                lambda mode=mode: proxy.met[mode] > 0 or job.status().state.finished,
                f"a connection meets storage that is {mode}",
                READY_S,
            )
        proxy.set(Mode.PASS)

    status = job.wait(timeout=2 * READY_S)
    assert (status.succeeded, status.failed) == (IMAGES, 0)


@pytest.mark.slow
def test_storage_that_stays_away_costs_the_chunk_but_no_image(
    s3_proxy: tuple[Proxy, Settings], ledger: RedisLedger, client: Client, start: Start
) -> None:
    """After CAMQ_OUTAGE_LIMIT the worker hands the chunk back; another attempt runs it when storage is back."""
    proxy, through = s3_proxy
    worker = start(msgspec.structs.replace(through, outage_limit=1.0))
    proxy.set(Mode.REFUSE)
    job = client.submit([picture(n) for n in range(8)], top_k=1, priority="bulk")
    wait_until(lambda: "chunk handed back" in worker.text(), "the worker gives the chunk back", READY_S)
    assert job.status().failed == 0
    proxy.set(Mode.PASS)

    assert job.wait(timeout=READY_S).succeeded == 8
    assert [done.attempt > 1 for done in ledger.done(job.id)] == [True]


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
