"""Stopping a worker: it ends soon, with exit status 0, without losing work and without waiting for a timeout."""

import signal
import time

import pytest

from producer import Client
from shared.config import Settings
from shared.ledger import RedisLedger
from tests.chaos.fleet import WorkerProcess, picture
from tests.chaos.proxy import Mode, Proxy
from tests.faults.conftest import READY_S, Start
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(180)]

#: What Python and torch need to end on a busy machine, beyond what the worker promises.
SLACK_S = 10.0


def seconds_to_end(worker: WorkerProcess, number: signal.Signals = signal.SIGTERM) -> float:
    began = time.monotonic()
    worker.signal(number)
    worker.process.wait(READY_S)
    return time.monotonic() - began


def in_hand(ledger: RedisLedger, worker: WorkerProcess) -> bool:
    info = worker.info(ledger)
    return info is not None and info.state == "busy" and info.images_done > 0


def test_an_idle_worker_stops_at_once(fast: Settings, ledger: RedisLedger, start: Start) -> None:
    """Its heartbeat leaves Redis with it, and the log has no warning or traceback."""
    worker = start(fast)

    assert seconds_to_end(worker) < 2 + 4
    assert worker.process.returncode == 0
    assert ledger.workers() == []
    assert "SecurityWarning" not in worker.text()
    assert "Traceback" not in worker.text()


def test_a_busy_worker_hands_back_within_the_grace_period(
    fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """No chunk waits for its lease: another worker can take it as soon as the process has ended."""
    worker = start(fast)
    job = client.submit([picture(n, (1600, 1200)) for n in range(48)], priority="bulk", overlay_size=1600)
    wait_until(lambda: in_hand(ledger, worker), "it works", READY_S)

    assert seconds_to_end(worker) < fast.drain_s + SLACK_S
    assert worker.process.returncode == 0
    status = job.status()
    assert (status.running, status.failed) == (0, 0)
    assert ledger.scripts.client.hlen("unacked") == 0
    second = start(fast)
    assert job.wait(timeout=2 * READY_S).succeeded == 48
    assert second.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_loses_nothing(
    number: signal.Signals, fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """Leases that were not handed back expire, and another worker finishes the job."""
    worker = start(fast)
    job = client.submit([picture(n, (1600, 1200)) for n in range(32)], priority="bulk", overlay_size=1600)
    wait_until(lambda: in_hand(ledger, worker), "it works", READY_S)
    worker.signal(number)
    wait_until(lambda: worker.info(ledger) and worker.info(ledger).state == "draining", "it drains", READY_S)

    assert seconds_to_end(worker, number) < 1
    assert worker.process.returncode == 128 + number
    start(fast, wait=False)
    assert job.wait(timeout=2 * READY_S).succeeded == 32


@pytest.mark.parametrize("silent", ["storage", "redis"])
def test_a_silent_service_does_not_keep_a_worker_from_ending(
    silent: str,
    s3_proxy: tuple[Proxy, Settings],
    redis_proxy: tuple[Proxy, Settings],
    ledger: RedisLedger,
    client: Client,
    start: Start,
) -> None:
    """Although the clients' own timeouts are longer than a container's grace period."""
    proxy, through = s3_proxy if silent == "storage" else redis_proxy
    worker = start(through)
    client.submit([picture(n) for n in range(400)], top_k=1, priority="bulk")
    wait_until(lambda: in_hand(ledger, worker), "it works", READY_S)
    proxy.set(Mode.SILENT)

    assert seconds_to_end(worker) < through.drain_s + 2 + SLACK_S
    assert worker.process.returncode == 0
