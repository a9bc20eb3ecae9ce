"""Liveness and readiness."""

import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest
from celery.contrib.testing.worker import start_worker
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.broker import make_app
from shared.config import Settings
from shared.errors import UnreachableError, UsageError
from tests.support.waiting import wait_until
from worker.observe.health import Health, Pulse, serving, watch_main_loop


def away() -> None:
    raise UnreachableError("Redis at cache:6379 does not answer")


def test_a_silent_thread_ends_liveness_and_one_at_rest_does_not() -> None:
    """Only what should beat and does not is a reason for a restart."""
    health, pulse = Health(live_s=60), Pulse()
    health.watch("engine", lambda: pulse.last)
    assert health.live() == []
    pulse.last = time.monotonic() - 61
    assert health.live() == ["engine has been silent for 61 s"]
    pulse.beat()
    assert health.live() == []


def test_a_service_that_is_away_ends_readiness_but_not_liveness() -> None:
    """Killing a worker would not bring Redis back, and would cost what it has in hand."""
    health = Health(live_s=60)
    health.state = lambda: "ready"
    health.services = {"redis": away}
    health.look()
    assert health.live() == []
    assert health.ready() == ["Redis at cache:6379 does not answer"]
    health.services = {"redis": lambda: None}
    health.look()
    assert health.ready() == []


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_a_worker_that_takes_no_work_is_not_ready(state: str) -> None:
    """Before its model is loaded, and while it stops."""
    health = Health(live_s=60)
    health.state = lambda: state
    assert health.ready() == [state]


def test_a_scrape_that_hangs_up_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """A scraper's timeout is no fault of ours, and the log of machines holds JSON alone."""
    collected, gone = threading.Event(), threading.Event()

    class Slow(Collector):
        def collect(self) -> Iterator[GaugeMetricFamily]:
            collected.set()
            gone.wait(10)
            yield GaugeMetricFamily("camq_some_ratio", "x" * 10_000_000, value=1)

    registry = CollectorRegistry()
    registry.register(Slow())
    gone.set()  # registering collects
    with serving("127.0.0.1", 0, Health(live_s=60), registry) as port:
        collected.clear()
        gone.clear()
        with socket.create_connection(("127.0.0.1", port)) as scraper:
            scraper.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
            scraper.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert collected.wait(10)
        handlers = [thread for thread in threading.enumerate() if "process_request" in thread.name]
        gone.set()
        for thread in handlers:
            thread.join(10)
    assert handlers
    assert "Traceback" not in capfd.readouterr().err


def test_probes_and_metrics_answer_over_http() -> None:
    """200 or 503 with the reasons as lines; a wrong path says what there is."""
    health, registry = Health(live_s=60), CollectorRegistry()
    Gauge("camq_some_ratio", "A gauge.", registry=registry).set(0.5)
    with serving("127.0.0.1", 0, health, registry) as port:
        assert get(port, "/live") == (200, "ok\n")
        assert get(port, "/ready") == (503, "starting\n")
        assert "camq_some_ratio 0.5" in get(port, "/metrics")[1]
        assert get(port, "/")[0] == 404
        with pytest.raises(UsageError, match=f"CAMQ_HTTP_PORT={port}"), serving("127.0.0.1", port, health, registry):
            pass


@pytest.mark.slow
def test_a_blocked_main_loop_is_seen(settings: Settings) -> None:
    """Celery's loop fetches the messages: a worker whose loop hangs does nothing, whatever its threads do."""
    pulse, blocked, release = Pulse(), threading.Event(), threading.Event()
    health = Health(live_s=1.5)
    health.watch("main loop", lambda: pulse.last)
    with closing(make_app(settings)) as app:
        watch_main_loop(app, pulse)
        with start_worker(app, pool="threads", perform_ping_check=False, shutdown_timeout=20) as worker:
            first = wait_until(lambda: pulse.last, "the first beat")
            wait_until(lambda: pulse.last and pulse.last > first, "the next beat")

            def block() -> None:
                blocked.set()
                release.wait(20)

            worker.consumer.timer.call_after(0, block)
            assert blocked.wait(10)
            wait_until(health.live, "the silence is noticed")
            release.set()
            wait_until(lambda: not health.live(), "it lives again")
        assert pulse.last is None


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
