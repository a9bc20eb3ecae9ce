"""How fast this worker is."""

import time
from collections import deque

#: Rate over this many seconds: long enough to be calm, short enough to show a stall.
WINDOW_S = 10.0
#: A shorter period of work has no rate: a micro-batch's images are finished together.
SHORTEST_S = 1.0


class Throughput:
    """The rate of finished images over the last seconds. For one thread at a time."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        #: When the first image of the present period of work was finished; the idle time before it is not counted.
        self._began = 0.0

    def add(self) -> None:
        """One image is finished."""
        now = self._forget()
        if not self._recent:
            self._began = now
        self._recent.append(now)

    @property
    def per_second(self) -> float:
        """Finished images per second over the window, or since the first of them where work began within it."""
        now = self._forget()
        period = now - self._began
        # The first image of a period marks its beginning: it was made before.
        images = len(self._recent) - (period <= WINDOW_S)
        return round(max(0, images) / max(min(period, WINDOW_S), SHORTEST_S), 2)

    def _forget(self) -> float:
        """Drops what lies before the window; the time now."""
        now = time.monotonic()
        while self._recent and self._recent[0] < now - WINDOW_S:
            self._recent.popleft()
        return now
