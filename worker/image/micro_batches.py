"""Pictures that wait for the device, and which of them run together next."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field

from shared.contract import SLOW_METHODS, Options
from worker.core.types import Explanation, UInt8Array


@dataclass(slots=True, eq=False)
class Waiting:
    """One picture and whom its answer is for."""

    pixels: UInt8Array
    options: Options
    future: Future[Explanation]
    #: Closed when it is taken, so that the stage `wait` ends where `forward` begins.
    wait: ExitStack
    #: Whether nothing may run beside it.
    alone: bool = False
    since: float = field(default_factory=time.monotonic)
    abandoned: bool = False
    #: Its share of the device's time, once it ran.
    seconds: float = 0.0

    @property
    def slow(self) -> bool:
        """Whether it runs alone."""
        return self.alone or self.options.method in SLOW_METHODS


class Queue:
    """Urgent pictures before the others; a slow one runs alone when its turn comes. Not safe for several threads."""

    def __init__(self, size: Callable[[], int]) -> None:
        """`size`: pictures of a micro-batch at present; a lack of memory makes it smaller."""
        self._size = size
        self._urgent: deque[Waiting] = deque()
        self._normal: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._normal)

    def add(self, waiting: Waiting, *, urgent: bool) -> None:
        """It waits behind the others of its kind."""
        (self._urgent if urgent else self._normal).append(waiting)

    def remove(self, waiting: Waiting) -> None:
        """It waits no more, if it did."""
        for queue in (self._urgent, self._normal):
            if waiting in queue:
                queue.remove(waiting)
                waiting.wait.close()

    @property
    def full(self) -> bool:
        """Whether as many wait as run together."""
        return len(self) >= self._size()

    @property
    def next_is_slow(self) -> bool:
        """Whether the next one runs alone."""
        first = self._urgent or self._normal
        return bool(first) and first[0].slow

    @property
    def oldest(self) -> float:
        """Since when the one that waits longest has waited (monotonic seconds)."""
        return min(queue[0].since for queue in (self._urgent, self._normal) if queue)

    def take(self) -> list[Waiting]:
        """The next micro-batch; empty when none waits."""
        if self.next_is_slow:
            return [_taken((self._urgent or self._normal).popleft())]
        return self._take_quick(self._urgent, self._normal)

    def take_urgent(self) -> list[Waiting]:
        """Urgent pictures that may run between the forwards of a slow one."""
        return self._take_quick(self._urgent)

    def _take_quick(self, *queues: deque[Waiting]) -> list[Waiting]:
        """As many as run together, in order."""
        taken: list[Waiting] = []
        for queue in queues:
            found = [waiting for waiting in queue if not waiting.slow][: self._size() - len(taken)]
            for waiting in found:
                queue.remove(waiting)
            taken += map(_taken, found)
        return taken


def _taken(waiting: Waiting) -> Waiting:
    waiting.wait.close()
    return waiting
