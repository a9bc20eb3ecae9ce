"""Pictures made smaller without antialiasing, as `torch.nn.functional.interpolate` and torchvision's tensors do it.

Training code that resizes tensors with `antialias=False` (the default of torchvision before 0.17) shows a network other
pixels than Pillow does: each is read from its two or four neighbours alone, however much smaller the picture becomes.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.core.types import FloatArray, UInt8Array

#: Of torch's bicubic kernel without antialiasing; Pillow, and torch with it, have -0.5.
_CUBIC = -0.75


def _linear(distance: FloatArray) -> FloatArray:
    return np.maximum(1 - distance, 0)


def _cubic(distance: FloatArray) -> FloatArray:
    a, x = np.float32(_CUBIC), distance
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, far).astype(np.float32)


#: How many neighbours each way, and their weights by their distance. The others have no such variant.
TAPS: dict[str, tuple[int, Callable[[FloatArray], FloatArray]]] = {"bilinear": (1, _linear), "bicubic": (2, _cubic)}


def sampled(pixels: UInt8Array, size: tuple[int, int], method: str) -> UInt8Array:
    """(H, W) or (H, W, K) → the same of height and width `size`, half-pixel centres, edges held, rounded."""
    values: NDArray[Any] = pixels
    for axis, wanted in enumerate(size):
        places, weights = _taps(pixels.shape[axis], wanted, method)
        shape = [1] * values.ndim
        shape[axis] = wanted
        parts = (
            np.take(values, places[:, tap], axis) * weights[:, tap].reshape(shape) for tap in range(places.shape[1])
        )
        values = reduce(np.add, parts)
    rounded: UInt8Array = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _taps(length: int, wanted: int, method: str) -> tuple[NDArray[np.int64], FloatArray]:
    """For each of the `wanted` pixels its neighbours among `length`, and how much of each: (wanted, n) both."""
    reach, kernel = TAPS[method]
    centre = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * np.float32(length / wanted) - np.float32(0.5)
    if reach == 1:
        centre = np.maximum(centre, 0)
    first = np.floor(centre).astype(np.int64)
    places = first[:, None] + np.arange(1 - reach, reach + 1)
    weights = kernel(np.abs(centre[:, None] - places).astype(np.float32))
    return np.clip(places, 0, length - 1), weights
