"""An engine at a gate, and what the tests of micro-batches share."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from shared.contract import Options
from shared.errors import ImageError
from worker.core.types import Explanation, UInt8Array


class GatedEngine:
    """A declared test adapter: waits at a gate, notes its batches, fails the pictures that are white."""

    max_batch_size = 4
    name, overlaps = "none", False

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def begin(
        self, pixels: Sequence[UInt8Array], options: Sequence[Options]
    ) -> Callable[[], list[Explanation | ImageError]]:
        self.batches.append([int(p[0, 0, 0]) for p in pixels])
        return lambda: self.finish(pixels)

    def finish(self, pixels: Sequence[UInt8Array]) -> list[Explanation | ImageError]:
        self.entered.release()
        assert self.gate.acquire(timeout=10)
        return [
            ImageError("inference", "white") if p[0, 0, 0] == 255 else Explanation((), str(int(p[0, 0, 0])))
            for p in pixels
        ]


@contextmanager
def untimed(stage: str) -> Iterator[None]:
    yield


def picture(shade: int) -> UInt8Array:
    return np.full((1, 1, 3), shade, np.uint8)


def fatal(error: BaseException) -> None:
    raise AssertionError("the engine's thread died") from error
