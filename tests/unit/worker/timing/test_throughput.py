"""How fast a worker says it is."""

import pytest

from worker.timing.throughput import Throughput


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("worker.timing.throughput.time.monotonic", lambda: now[0])
    return now


def work(throughput: Throughput, clock: list[float], images: int, every_s: float) -> None:
    for _ in range(images):
        clock[0] += every_s
        throughput.add()


def test_the_idle_time_before_the_first_image_does_not_count(clock: list[float]) -> None:
    """A worker that has just begun is as fast as one that goes on."""
    throughput = Throughput()
    assert throughput.per_second == 0
    clock[0] += 500
    work(throughput, clock, 21, 0.1)
    early = throughput.per_second
    work(throughput, clock, 300, 0.1)

    assert early == 10
    assert throughput.per_second == pytest.approx(10, abs=0.11)


def test_a_stall_is_seen(clock: list[float]) -> None:
    """The rate falls, and is 0 when the window has passed."""
    throughput = Throughput()
    work(throughput, clock, 200, 0.1)
    clock[0] += 5
    half = throughput.per_second
    clock[0] += 6

    assert half == pytest.approx(5, abs=0.11)
    assert throughput.per_second == 0


def test_one_micro_batch_is_no_rate(clock: list[float]) -> None:
    """Its images are finished at the same moment."""
    throughput = Throughput()
    work(throughput, clock, 16, 0.001)

    assert throughput.per_second <= 16
