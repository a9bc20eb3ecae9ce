"""The range of a raw map's values, and whether there is anything in it to see."""

from typing import NamedTuple

import numpy as np

from worker.core.types import FloatArray

#: A map that varies by no more than this share of its greatest value is flat: float32 sums round that much.
FLAT_SHARE = 1e-6
#: The same in absolute terms. It is this low because softmax maps of improbable classes are truly tiny.
FLAT_SPAN = 1e-30


class MapRange(NamedTuple):
    """The least and the greatest value of a map; `flat` maps have no contrast."""

    low: float
    high: float
    flat: bool


def map_range(values: FloatArray) -> MapRange:
    """Of the finite values of a map (h, w); one that has others as well is flat."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return MapRange(0.0, 0.0, flat=True)
    low, high = float(finite.min()), float(finite.max())
    varies = high - low > max(FLAT_SPAN, FLAT_SHARE * max(abs(low), abs(high)))
    return MapRange(low, high, flat=not varies or finite.size < values.size)
