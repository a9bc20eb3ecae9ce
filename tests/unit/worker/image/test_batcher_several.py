"""Micro-batches of one caller with several pictures, and of one that wants to know how long its picture takes."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from shared.contract import Options
from shared.errors import ImageError
from tests.support.waiting import wait_until
from tests.support.worker.batching import GatedEngine, fatal, picture, untimed
from worker.image.batcher import Batcher


def test_several_pictures_of_one_caller_run_together_and_fail_together() -> None:
    """In its order; when one fails, the caller hears of it."""
    engine = GatedEngine()
    engine.gate.release(2)
    with closing(Batcher(engine, 0.0, untimed, fatal)) as batcher:
        found = batcher.explain_all([picture(s) for s in (3, 1, 2)], Options(), urgent=False)
        with pytest.raises(ImageError, match="white"):
            batcher.explain_all([picture(1), picture(255)], Options(), urgent=False)

    assert [each.method for each in found] == ["3", "1", "2"]
    assert engine.batches == [[3, 1, 2], [1, 255]]


def test_a_timed_picture_runs_alone_and_its_wait_is_not_counted() -> None:
    """The seconds are the device's, from when it was free."""
    engine = GatedEngine()
    batcher = Batcher(engine, 0.0, untimed, fatal)
    with ThreadPoolExecutor(8) as pool:
        pool.submit(batcher.explain, picture(1), Options(), urgent=False)
        assert engine.entered.acquire(timeout=10)
        began = time.monotonic()
        timed = pool.submit(batcher.timed, picture(2), Options())
        wait_until(lambda: batcher.waiting == 1, "the timed picture waits")
        other = pool.submit(batcher.explain, picture(3), Options(), urgent=False)
        wait_until(lambda: batcher.waiting == 2, "another one waits")
        wait_until(lambda: time.monotonic() - began > 0.5, "it has waited for a while")
        engine.gate.release(3)
        explanation, seconds = timed.result(10)
        other.result(10)
        took = time.monotonic() - began
    batcher.close()

    assert (explanation.method, engine.batches) == ("2", [[1], [2], [3]])
    assert 0 < seconds <= took - 0.5
