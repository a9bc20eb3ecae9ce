"""Forms micro-batches across chunks and jobs, and owns the one thread that uses the device."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from shared.contract import Options
from shared.errors import ImageError
from worker.core.types import Explanation, UInt8Array
from worker.stages import Stage


class Runs(Protocol):
    """What the batcher needs of an engine."""

    max_batch_size: int

    @property
    def overlaps(self) -> bool:
        """Whether it gains by beginning a micro-batch while another one runs."""

    def begin(
        self, pixels: Sequence[UInt8Array], options: Sequence[Options]
    ) -> Callable[[], list[Explanation | ImageError]]:
        """Begin; what is returned waits for one result or error per image, in order."""


@dataclass(slots=True)
class _Waiting:
    pixels: UInt8Array
    options: Options
    future: Future[Explanation]
    #: Closed by the engine's thread, so that `wait` ends where `forward` begins.
    wait: ExitStack
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Running:
    batch: list[_Waiting]
    results: Callable[[], list[Explanation | ImageError]]

    def finish(self) -> None:
        """Waits, and gives everyone their answer."""
        for waiting, result in zip(self.batch, self.results(), strict=True):
            if isinstance(result, ImageError):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)


class Batcher:
    """Callers block in `explain`; the batcher's thread runs them together.

    A micro-batch starts as soon as the device is free and either it is full, or no image is on its way, or
    the oldest one has waited `max_delay_s`. So a lone picture never waits for company that is not coming.
    An engine that overlaps is handed the next micro-batch while it runs one, if that is full: nothing is gained
    by closing one that may still grow.
    """

    def __init__(
        self, engine: Runs, max_delay_s: float, stage: Stage, on_fatal: Callable[[BaseException], None]
    ) -> None:
        self._engine = engine
        self._max_delay_s = max_delay_s
        self._stage = stage
        self._on_fatal = on_fatal
        self._wake = threading.Condition()
        self._urgent: deque[_Waiting] = deque()
        self._normal: deque[_Waiting] = deque()
        self._coming = 0
        self._closed = False
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
                    self._wake.notify()

        with self._wake:
            self._coming += 1
        try:
            yield arrived
        finally:
            arrived()

    def explain(self, pixels: UInt8Array, options: Options, *, urgent: bool) -> Explanation:
        """What the network says of one picture. Blocks; raises ImageError when this picture fails."""
        waiting = _Waiting(pixels, options, Future(), ExitStack())
        with self._wake:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            waiting.wait.enter_context(self._stage("wait"))
            (self._urgent if urgent else self._normal).append(waiting)
            self._wake.notify()
        return waiting.future.result()

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
                        begun = _Running(batch, self._begin(batch))
                        if running:
                            running.finish()
                        running, batch = begun, self._full_batch()
                        if not batch:
                            running.finish()
        except BaseException as error:
            # The engine answers for every image; what still gets here (a device that is gone) would repeat
            # for each batch, so the process must end and its chunks run elsewhere.
            self._on_fatal(error)
            raise

    def _begin(self, batch: list[_Waiting]) -> Callable[[], list[Explanation | ImageError]]:
        return self._engine.begin([w.pixels for w in batch], [w.options for w in batch])

    def _full_batch(self) -> list[_Waiting]:
        """The next micro-batch, if the engine may have it before it has finished the one that runs."""
        with self._wake:
            self.last_beat = time.monotonic()
            full = len(self._urgent) + len(self._normal) >= self._engine.max_batch_size
            return self._take_batch() if full and self._engine.overlaps else []

    def _next_batch(self) -> list[_Waiting]:
        with self._wake:
            while True:
                self.last_beat = time.monotonic()
                wait_s = self._wait_s()
                if wait_s == 0:
                    return self._take_batch()
                self._wake.wait(wait_s)

    def _wait_s(self) -> float:
        """Seconds until the next look; 0 when a micro-batch (or the end) is due."""
        count = len(self._urgent) + len(self._normal)
        if count == 0:
            return 0 if self._closed else 1.0
        if count >= self._engine.max_batch_size or self._coming == 0 or self._closed:
            return 0
        oldest = min(queue[0].since for queue in (self._urgent, self._normal) if queue)
        return max(0.0, oldest + self._max_delay_s - time.monotonic())

    def _take_batch(self) -> list[_Waiting]:
        size = min(self._engine.max_batch_size, len(self._urgent) + len(self._normal))
        taken = [(self._urgent or self._normal).popleft() for _ in range(size)]
        for waiting in taken:
            waiting.wait.close()
        return taken
