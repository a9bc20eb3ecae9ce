"""How fast this worker is."""

import threading
import time
from collections import Counter, deque

#: Rate over this many seconds: long enough to be calm, short enough to show a stall.
WINDOW_S = 10.0


class Meter:
    """Counts finished images, their rate over the last seconds, and micro-batches by size."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._started = time.monotonic()
        #: Images finished since the start, whatever their fate.
        self.images_done = 0
        self._batches: Counter[int] = Counter()

    def add(self) -> None:
        """One image is finished."""
        with self._lock:
            self.images_done += 1
            self._recent.append(time.monotonic())

    def add_batch(self, images: int) -> None:
        """A micro-batch went through the network."""
        with self._lock:
            self._batches[images] += 1

    @property
    def batch_sizes(self) -> dict[int, int]:
        """Micro-batches by the number of their images, the smallest first."""
        with self._lock:
            return dict(sorted(self._batches.items()))

    @property
    def images_per_second(self) -> float:
        """Finished images per second over the window (or since the start, if that is shorter)."""
        now = time.monotonic()
        with self._lock:
            while self._recent and self._recent[0] < now - WINDOW_S:
                self._recent.popleft()
            span = min(WINDOW_S, now - self._started)
            return round(len(self._recent) / span, 2) if span > 0 else 0.0
