"""How fast this worker is."""

import threading
import time
from collections import Counter, deque

#: Rate over this many seconds: long enough to be calm, short enough to show a stall.
WINDOW_S = 10.0
#: A spell of work shorter than this tells no rate: a micro-batch's images are finished together.
SHORTEST_S = 1.0


class Meter:
    """Counts finished images, their rate over the last seconds, and micro-batches by size."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        #: When the first image of the present spell of work was finished; the idle time before it is not counted.
        self._began = 0.0
        #: Images finished since the start, whatever their fate.
        self.images_done = 0
        self._batches: Counter[int] = Counter()

    def add(self) -> None:
        """One image is finished."""
        with self._lock:
            now = self._forget()
            if not self._recent:
                self._began = now
            self.images_done += 1
            self._recent.append(now)

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
        """Finished images per second over the window, or since the first of them where work began within it."""
        with self._lock:
            now = self._forget()
            spell = now - self._began
            # The first image of a spell marks its beginning: it was made before.
            images = len(self._recent) - (spell <= WINDOW_S)
            return round(max(0, images) / max(min(spell, WINDOW_S), SHORTEST_S), 2)

    def _forget(self) -> float:
        """Drops what lies before the window; the time now."""
        now = time.monotonic()
        while self._recent and self._recent[0] < now - WINDOW_S:
            self._recent.popleft()
        return now
