"""A picture changed where its map points, or everywhere else: what the network is asked again.

Pictures are float32 (H, W, C) in 0..255, heat is a map stretched over them (H, W) in 0..1, and positions are indices of
pixels, H·W of them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.core.drawing.stretch import stretch
from worker.core.faithfulness.imputation import imputed
from worker.core.types import FloatArray

Positions = NDArray[np.int64]
#: The blur that an insertion begins with, in pixels: a window of 11 x 11 as in the authors' code.
BLUR_SIGMA, BLUR_RADIUS = 5, 5
#: Of ROAD's noise, once the picture is normalised.
NOISE = 0.01


def heat_of(values: FloatArray, width: int, height: int) -> FloatArray:
    """The raw map (h, w) from its own range to 0..1, then bilinear to (height, width); a flat one becomes zero."""
    low, high = float(values.min()), float(values.max())
    unit = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return stretch(unit.astype(np.float32), width, height)


def ranked(heat: FloatArray) -> Positions:
    """The positions, hottest first. Equal ones, such as all that a ReLU cut off, in an order that favours no side."""
    flat = heat.ravel()
    chance = np.random.default_rng(0).permutation(flat.size)
    order: Positions = np.lexsort((chance, -flat))
    return order


def masked(picture: FloatArray, heat: FloatArray, blank: FloatArray) -> FloatArray:
    """The picture where the map is hot, `blank` (C,) where it is cold.

    With the network's mean as `blank` this is the product of map and normalised picture: Chattopadhyay, Sarkar,
    Howlader, Balasubramanian: Grad-CAM++, WACV 2018, arXiv 1710.11063.
    """
    return blank + heat[..., None] * (picture - blank)


def replaced(start: FloatArray, end: FloatArray, order: Positions, steps: int) -> Iterator[FloatArray]:
    """`start` with the first 1/steps, 2/steps, … and in the end all of the positions as they are in `end`."""
    now, target = start.reshape(order.size, -1).copy(), end.reshape(order.size, -1)
    for part in np.array_split(order, steps):
        now[part] = target[part]
        yield now.reshape(start.shape).copy()


def blurred(picture: FloatArray) -> FloatArray:
    """Where an insertion begins: no detail is left, and no edge is new.

    Petsiuk, Das, Saenko: RISE, BMVC 2018, arXiv 1806.07421, for insertion and deletion.
    """
    soft: FloatArray = ndimage.gaussian_filter(
        picture, (BLUR_SIGMA, BLUR_SIGMA, 0), mode="nearest", radius=(BLUR_RADIUS, BLUR_RADIUS, 0)
    )
    return soft


def without(
    picture: FloatArray, order: Positions, percentiles: Sequence[float], noise: FloatArray
) -> Iterator[FloatArray]:
    """The picture without the positions at the front of `order`: at percentile 20 only the last 20% of them stay.

    What is removed is imputed (`imputed`), with normal noise of the standard deviation `noise` (C,).
    """
    height, width, channels = picture.shape
    for percentile in percentiles:
        kept = int(np.ceil((order.size - 1) * percentile / 100))
        removed = np.ones(order.size, np.bool_)
        removed[order[order.size - kept :]] = False
        count = order.size - kept
        grain = np.random.default_rng(0).standard_normal((count, channels)).astype(np.float32)
        yield imputed(picture, removed.reshape(height, width), noise * grain)
