"""Micro-batches across callers."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from shared.contract import Options
from shared.errors import ImageError
from tests.support.waiting import wait_until
from tests.support.worker.batching import GatedEngine, fatal, picture, untimed
from worker.core.types import Explanation, UInt8Array
from worker.image import batcher as module
from worker.image.batcher import AbandonedError, Batcher

PICTURE = np.zeros((1, 1, 3), np.uint8)


def test_images_that_wait_run_together_and_each_gets_its_own_answer() -> None:
    """While the device is busy a batch gathers; a failing picture fails alone."""
    engine = GatedEngine()
    batcher = Batcher(engine, 0.0, untimed, fatal)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(batcher.explain, picture(1), Options(), urgent=False)
        assert engine.entered.acquire(timeout=10)
        rest = [pool.submit(batcher.explain, picture(s), Options(), urgent=False) for s in (2, 255, 4)]
        wait_until(lambda: batcher.waiting == 3, "three images wait")
        engine.gate.release(2)

        assert first.result(10).method == "1"
        assert rest[0].result(10).method == "2"
        assert rest[2].result(10).method == "4"
        with pytest.raises(ImageError, match="white"):
            rest[1].result(10)
    batcher.close()

    assert [len(batch) for batch in engine.batches] == [1, 3]


def test_waiting_ends_where_the_forward_begins() -> None:
    """So that the time of the network is not told twice."""
    events: list[str] = []

    @contextmanager
    def noted(stage: str) -> Iterator[None]:
        events.append(f"{stage} begins")
        yield
        events.append(f"{stage} ends")

    engine = GatedEngine()
    engine.gate.release()
    batcher = Batcher(engine, 0.0, noted, fatal)
    batcher.explain(picture(1), Options(), urgent=False)
    batcher.close()

    assert events == ["wait begins", "wait ends", "forward begins", "forward ends"]


def test_an_urgent_image_goes_before_those_that_wait() -> None:
    """A one-picture job must not wait behind a bulk job's queue."""
    engine = GatedEngine()
    engine.max_batch_size = 1
    batcher = Batcher(engine, 0.0, untimed, fatal)
    with ThreadPoolExecutor(8) as pool:
        pool.submit(batcher.explain, picture(1), Options(), urgent=False)
        assert engine.entered.acquire(timeout=10)
        pool.submit(batcher.explain, picture(2), Options(), urgent=False)
        wait_until(lambda: batcher.waiting == 1, "a bulk image waits")
        pool.submit(batcher.explain, picture(3), Options(), urgent=True)
        wait_until(lambda: batcher.waiting == 2, "an urgent image waits")
        engine.gate.release(3)
    batcher.close()

    assert engine.batches == [[1], [3], [2]]


def test_a_batch_waits_for_images_on_their_way_but_a_lone_one_does_not() -> None:
    """With company announced the batch is held back until it came; without, it starts at once."""
    engine = GatedEngine()
    batcher = Batcher(engine, 3600.0, untimed, fatal)
    with ThreadPoolExecutor(8) as pool, batcher.coming() as arrived:
        first = pool.submit(batcher.explain, picture(1), Options(), urgent=False)
        wait_until(lambda: batcher.waiting == 1, "one image waits for the announced one")
        assert engine.batches == []
        arrived()
        assert engine.entered.acquire(timeout=10)
        engine.gate.release()
        assert first.result(10).method == "1"
    batcher.close()


def test_the_engines_thread_is_woken_for_a_batch_and_for_its_first_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first begins the wait for company, the fourth fills the batch; those between need nobody."""
    engine, woken = GatedEngine(), list[int]()

    class Noted(threading.Condition):
        def notify(self, n: int = 1) -> None:
            woken.append(batcher.waiting)
            super().notify(n)

    monkeypatch.setattr(module, "threading", SimpleNamespace(Condition=Noted, Thread=threading.Thread))
    batcher = Batcher(engine, 3600.0, untimed, fatal)
    engine.gate.release(2)
    with ThreadPoolExecutor(8) as pool, closing(batcher), batcher.coming() as arrived:
        for shade in (1, 2, 3):
            pool.submit(batcher.explain, picture(shade), Options(), urgent=False)
            wait_until(lambda shade=shade: batcher.waiting == shade, "the image waits")
        pool.submit(batcher.explain, picture(4), Options(), urgent=False)
        assert engine.entered.acquire(timeout=10)
        assert woken == [1, 4]
        for shade in (5, 6):
            pool.submit(batcher.explain, picture(shade), Options(), urgent=False)
            wait_until(lambda shade=shade: batcher.waiting == shade - 4, "the image waits")
        arrived()  # nobody is on the way any more
        assert engine.entered.acquire(timeout=10)

    assert engine.batches == [[1, 2, 3, 4], [5, 6]]


@pytest.mark.parametrize(("overlaps", "begun"), [(True, [1, 3, 3, 4]), (False, [1, 2, 3, 4])])
def test_an_engine_that_overlaps_has_the_next_full_batch_before_it_finished_one(
    overlaps: bool, begun: list[int]
) -> None:
    """Never more than one ahead, never one that may still grow; and everyone gets their own answer."""
    engine = GatedEngine()
    engine.overlaps, engine.max_batch_size = overlaps, 2
    batcher = Batcher(engine, 0.0, untimed, fatal)
    seen = []
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(batcher.explain, picture(1), Options(), urgent=False)]
        assert engine.entered.acquire(timeout=10)
        seen.append(len(engine.batches))
        for shade in (2, 3, 4, 5, 6):
            asked.append(pool.submit(batcher.explain, picture(shade), Options(), urgent=False))
            wait_until(lambda: batcher.waiting == len(asked) - 1, "the image waits")
        engine.gate.release()
        for _ in range(3):
            assert engine.entered.acquire(timeout=10)
            seen.append(len(engine.batches))
            engine.gate.release()
        assert [each.result(10).method for each in asked] == ["1", "2", "3", "4", "5", "6"]
    batcher.close()

    assert engine.batches == [[1], [2, 3], [4, 5], [6]]
    assert seen == begun


SLOW = Options(method="scorecam")


class BeatingEngine(GatedEngine):
    """As above, but it asks the batcher between the forwards of a slow picture, one for each open gate, 100 in all."""

    on_step: Callable[[], None]
    left = 100

    def begin(
        self, pixels: Sequence[UInt8Array], options: Sequence[Options]
    ) -> Callable[[], list[Explanation | ImageError]]:
        self.batches.append([int(p[0, 0, 0]) for p in pixels])
        return lambda: self.finish_slowly(pixels) if options[0] == SLOW else self.answer(pixels)

    def finish_slowly(self, pixels: Sequence[UInt8Array]) -> list[Explanation | ImageError]:
        self.entered.release()
        while self.left:
            assert self.gate.acquire(timeout=10)
            self.left -= 1
            try:
                self.on_step()
            except AbandonedError as error:
                return [ImageError("inference", str(error))]
        return self.answer(pixels)

    def answer(self, pixels: Sequence[UInt8Array]) -> list[Explanation | ImageError]:
        return [Explanation((), str(int(p[0, 0, 0]))) for p in pixels]


@contextmanager
def beating() -> Iterator[tuple[BeatingEngine, Batcher, ThreadPoolExecutor]]:
    engine = BeatingEngine()
    batcher = Batcher(engine, 0.0, untimed, fatal)
    engine.on_step = batcher.beat
    with ThreadPoolExecutor(8) as pool:
        yield engine, batcher, pool
        engine.gate.release(1000)
    batcher.close()


def test_an_urgent_image_does_not_wait_for_a_slow_one() -> None:
    """It runs between two forwards of a Score-CAM, whose beats keep the engine alive to whoever asks."""
    with beating() as (engine, batcher, pool):
        slow = pool.submit(batcher.explain, picture(1), SLOW, urgent=True)
        assert engine.entered.acquire(timeout=10)
        quick = [pool.submit(batcher.explain, picture(s), Options(), urgent=s == 3) for s in (2, 3)]
        wait_until(lambda: batcher.waiting == 2, "both wait")
        batcher.last_beat = 0.0
        engine.gate.release()

        assert quick[1].result(10).method == "3"
        assert batcher.last_beat > 0
        assert not quick[0].done()
        assert not slow.done()
        engine.gate.release(99)
        assert [each.result(10).method for each in (slow, *quick)] == ["1", "2", "3"]
    assert engine.batches == [[1], [3], [2]]


@pytest.mark.parametrize("overlaps", [False, True])
def test_slow_images_run_one_by_one_and_others_in_their_turn(overlaps: bool) -> None:
    """Quick ones that wait behind the first slow one run together, before or after it, and none beside it."""
    with beating() as (engine, batcher, pool):
        engine.overlaps, engine.left = overlaps, 1
        begun = pool.submit(batcher.explain, picture(1), SLOW, urgent=False)
        assert engine.entered.acquire(timeout=10)
        waiting = [(2, Options()), (3, SLOW), (4, Options()), (5, SLOW), (6, Options()), (7, Options())]
        asked = [begun]
        for count, (shade, wish) in enumerate(waiting, 1):
            asked.append(pool.submit(batcher.explain, picture(shade), wish, urgent=False))
            wait_until(lambda expected=count: batcher.waiting == expected, "the image waits")  # type: ignore[misc]
        engine.gate.release(1000)
        assert [each.result(10).method for each in asked] == list("1234567")
    assert engine.batches == [[1], [2, 4, 6, 7], [3], [5]]


class StopError(Exception):
    """What a look at the lease raises."""


def test_nobody_waits_for_an_image_that_is_no_longer_wanted() -> None:
    """A cancelled job's slow image ends at the next beat, and those of it that wait are never begun."""
    unwanted = threading.Event()

    def check() -> None:
        if unwanted.is_set():
            raise StopError

    with beating() as (engine, batcher, pool):
        asked = [pool.submit(batcher.explain, picture(1), SLOW, urgent=False, check=check)]
        assert engine.entered.acquire(timeout=10)
        asked += [pool.submit(batcher.explain, picture(s), SLOW, urgent=False, check=check) for s in (2, 3)]
        wait_until(lambda: batcher.waiting == 2, "two images wait")
        unwanted.set()
        for each in asked:
            with pytest.raises(StopError):
                each.result(10)
        engine.gate.release(100)
        assert pool.submit(batcher.explain, picture(4), Options(), urgent=False).result(10).method == "4"
    assert engine.batches == [[1], [4]]
    assert engine.left == 99
