"""Forms micro-batches across chunks and jobs, and owns the one thread that uses the device."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from shared.contract import Options
from shared.errors import ImageError
from shared.outage import LOOK_S
from shared.processes.deadline import ended
from worker.core.types import Explanation, UInt8Array
from worker.image.micro_batches import Queue, Waiting
from worker.timing.measurements import Stage


class AbandonedError(Exception):
    """Nobody waits any more for the picture that the engine is busy with."""


class EngineProtocol(Protocol):
    """What the batcher needs of an engine."""

    max_batch_size: int

    @property
    def name(self) -> str:
        """What its usual results say made them."""

    @property
    def overlaps(self) -> bool:
        """Whether it gains by beginning a micro-batch while another one runs."""

    def begin(
        self, pixels: Sequence[UInt8Array], options: Sequence[Options]
    ) -> Callable[[], list[Explanation | ImageError]]:
        """Begin; what is returned waits for one result or error per image, in order."""


@dataclass(slots=True)
class _Running:
    began: float
    batch: list[Waiting]
    results: Callable[[], list[Explanation | ImageError]]

    def finish(self, busy_until: float = 0.0) -> None:
        """Waits, and gives everyone their answer. Until `busy_until` the device had another micro-batch."""
        results = self.results()
        seconds = (time.monotonic() - max(self.began, busy_until)) / len(self.batch)
        for waiting, result in zip(self.batch, results, strict=True):
            waiting.seconds = seconds
            if isinstance(result, ImageError):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)


class Batcher:
    """Callers block in `explain`; the batcher's thread runs them together.

    A micro-batch starts as soon as the device is free and either it is full, or no image is on its way, or
    the oldest one has waited `max_delay_s`. So a lone picture never waits for company that is not coming.
    A picture of a slow method runs alone, and lets urgent ones in between (`beat`).
    An engine that overlaps is handed the next micro-batch while it runs one, if that is full: nothing is gained
    by closing one that may still grow.
    """

    def __init__(
        self,
        engine: EngineProtocol,
        max_delay_s: float,
        stage: Stage,
        on_fatal: Callable[[BaseException], None],
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`on_batch` is called with the size of each micro-batch, in the engine's thread."""
        self._engine = engine
        self._max_delay_s = max_delay_s
        self._stage = stage
        self._on_fatal = on_fatal
        self._on_batch = on_batch
        self._wake = threading.Condition()
        self._queue = Queue(lambda: engine.max_batch_size)
        self._coming = 0
        self._closed = False
        self._in_hand: list[Waiting] = []
        self._busy_until = 0.0
        #: When the engine's thread last showed a sign of life (monotonic seconds).
        self.last_beat = time.monotonic()
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()

    @contextmanager
    def coming(self) -> Iterator[Callable[[], None]]:
        """An image is on its way; the yielded function says that it came. Leaving says so too."""
        came = False

        def arrived() -> None:
            nonlocal came
            if not came:
                came = True
                with self._wake:
                    self._coming -= 1
                    self._notify_if_due()

        with self._wake:
            self._coming += 1
        try:
            yield arrived
        finally:
            arrived()

    @property
    def waiting(self) -> int:
        """Images that wait for a micro-batch, urgent ones among them."""
        return len(self._queue)

    @property
    def engine(self) -> str:
        """What makes the usual results at present."""
        return self._engine.name

    def explain(
        self, pixels: UInt8Array, options: Options, *, urgent: bool, check: Callable[[], None] = lambda: None
    ) -> Explanation:
        """What the network says of one picture. Blocks; raises ImageError when this picture fails.

        What `check` raises meanwhile is raised here, and the engine spends no more time on the picture.
        """
        return self.explain_all([pixels], options, urgent=urgent, check=check)[0]

    def explain_all(
        self, pixels: Sequence[UInt8Array], options: Options, *, urgent: bool, check: Callable[[], None] = lambda: None
    ) -> list[Explanation]:
        """`explain` for several pictures, which may run together; raises when one of them fails."""
        return self._answers([Waiting(p, options, Future(), ExitStack()) for p in pixels], urgent=urgent, check=check)

    def timed(
        self, pixels: UInt8Array, options: Options, *, check: Callable[[], None] = lambda: None
    ) -> tuple[Explanation, float]:
        """`explain` for a picture that runs alone, and how many seconds of the device's time it took."""
        waiting = Waiting(pixels, options, Future(), ExitStack(), alone=True)
        return self._answers([waiting], urgent=False, check=check)[0], waiting.seconds

    def _answers(self, asked: list[Waiting], *, urgent: bool, check: Callable[[], None]) -> list[Explanation]:
        with self._wake:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            for waiting in asked:
                waiting.wait.enter_context(self._stage("wait"))
                self._queue.add(waiting, urgent=urgent)
                self._notify_if_due()
        try:
            for waiting in asked:
                while not ended(waiting.future, LOOK_S):
                    check()
            return [waiting.future.result() for waiting in asked]
        except BaseException:
            for waiting in asked:
                self._abandon(waiting)
            raise

    def beat(self) -> None:
        """For the engine to call, in its thread, between the forwards of a slow picture: it lives, and may be asked.

        Urgent pictures of quick methods run here and now. Raises AbandonedError when nobody waits for the slow one.
        """
        with self._wake:
            self.last_beat = time.monotonic()
            urgent = self._queue.take_urgent()
        if urgent:
            _Running(time.monotonic(), urgent, self._begin(urgent)).finish()
        if self._in_hand and all(waiting.abandoned for waiting in self._in_hand):
            raise AbandonedError("nobody waits for this picture any more")

    def close(self) -> None:
        """Runs what waits, then ends the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        try:
            while batch := self._next_batch():
                running: _Running | None = None
                while batch:
                    # Once per micro-batch, so that the seconds of this stage are those of the engine's thread.
                    with self._stage("forward"):
                        begun = _Running(time.monotonic(), batch, self._begin(batch))
                        if running:
                            self._finish(running)
                        running, batch = begun, self._full_batch(batch)
                        if not batch:
                            self._finish(running)
        except BaseException as error:
            # The engine answers for every image; what still gets here (a device that is gone) would repeat
            # for each batch, so the process must end and its chunks run elsewhere.
            self._on_fatal(error)
            raise

    def _begin(self, batch: list[Waiting]) -> Callable[[], list[Explanation | ImageError]]:
        self._on_batch(len(batch))
        return self._engine.begin([w.pixels for w in batch], [w.options for w in batch])

    def _finish(self, running: _Running) -> None:
        self._in_hand = running.batch
        running.finish(self._busy_until)
        self._busy_until = time.monotonic()

    def _full_batch(self, begun: list[Waiting]) -> list[Waiting]:
        """The next micro-batch, if the engine may have it before it has finished `begun`."""
        with self._wake:
            self.last_beat = time.monotonic()
            # A slow picture runs when its turn comes, and what begins beside it would wait for it.
            return self._queue.take() if self._queue.full and self._engine.overlaps and not begun[0].slow else []

    def _next_batch(self) -> list[Waiting]:
        with self._wake:
            while True:
                self.last_beat = time.monotonic()
                wait_s = self._wait_s()
                if wait_s == 0:
                    return self._queue.take()
                self._wake.wait(wait_s)

    def _wait_s(self) -> float:
        """Seconds until the next look; 0 when a micro-batch (or the end) is due."""
        if not self._queue:
            return 0 if self._closed else 1.0
        if self._queue.full or self._queue.next_is_slow or self._coming == 0 or self._closed:
            return 0
        return max(0.0, self._queue.oldest + self._max_delay_s - time.monotonic())

    def _notify_if_due(self) -> None:
        """Wakes the engine's thread for a micro-batch, or for its first image, whose seconds begin.

        Else it would wake twice per image only to wait on, and take Python's lock away from those that decode.
        """
        if len(self._queue) == 1 or self._wait_s() == 0:
            self._wake.notify()

    def _abandon(self, waiting: Waiting) -> None:
        with self._wake:
            waiting.abandoned = True
            self._queue.remove(waiting)
