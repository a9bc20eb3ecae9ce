"""Where the time goes: seconds and counts per stage, cheap enough to stay on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

#: The stages of one image, in the order of its way; `forward` is per micro-batch, `commit` per chunk. `decode`
#: ends with the network's input, `wait` is for the device, `render` paints, `upload` is all of an image's files.
STAGES = ("download", "decode", "wait", "forward", "render", "encode", "upload", "commit")

#: Marks the time spent in a stage: `with stage("decode"): …`.
Stage = Callable[[str], AbstractContextManager[None]]


class StageClock:
    """Sums the seconds of each stage over all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._counts = dict.fromkeys(STAGES, 0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Counts the block's time towards the stage, also when it raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            with self._lock:
                self._seconds[stage] += spent
                self._counts[stage] += 1

    def totals(self) -> dict[str, tuple[int, float]]:
        """Per stage, how often it ran and for how many seconds in all."""
        with self._lock:
            return {stage: (self._counts[stage], self._seconds[stage]) for stage in STAGES}
