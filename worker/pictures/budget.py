"""Bytes that may be taken at once by all who ask."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.outage import LOOK_S


class Budget:
    """Served in the order of asking, so that a large one is not overtaken for ever; alone, each gets what it asks."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0
        self._asking: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        """Bytes that are held now."""
        return self._taken

    @property
    def asking(self) -> int:
        """How many wait for their turn."""
        return len(self._asking)

    @contextmanager
    def take(self, wanted: int, check: Callable[[], None]) -> Iterator[Callable[[int], None]]:
        """Waits, and holds while the block lasts; what is yielded makes it less. `check` ends the wait by raising."""
        held = wanted
        turn = object()

        def keep(less: int) -> None:
            nonlocal held
            with self._changed:
                freed = max(0, held - less)
                self._taken -= freed
                held -= freed
                self._changed.notify_all()

        with self._changed:
            self._asking.append(turn)
            try:
                while self._asking[0] is not turn or (self._taken and self._taken + wanted > self._total):
                    self._changed.wait(LOOK_S)
                    check()
                self._taken += wanted
            finally:
                self._asking.remove(turn)
                self._changed.notify_all()
        try:
            yield keep
        finally:
            keep(0)
