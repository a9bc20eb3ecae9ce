"""An activation map → the box around what it shows."""

import math

import numpy as np
from numpy.typing import NDArray

from worker.core.components import Integers, Runs, components, runs
from worker.core.stretch import ROUNDING, by_pillow, stretch
from worker.core.types import FloatArray, Geometry

#: The map is resized to the picture, but to no more than this on its longer side: a map of 7 or 14 cells holds
#: nothing finer. Up to 512 pixels the box is that of the full size; beyond, each of its sides lies within
#: longest side / 512 pixels of it.
GRID = 512
#: Of float32's normal numbers; below, rounding is no share of the number any more.
SMALLEST = 2.0**-126


def box(values: FloatArray, geometry: Geometry, threshold: float) -> tuple[int, int, int, int] | None:
    """The box of the CAM paper (Zhou et al. 2016, section 3.2) in pixels of the upright original.

    It surrounds the largest connected component (by area; of equal ones that with the higher maximum) of what
    lies above `threshold` times the maximum of the raw map `values` (h, w), resized bilinearly to the part of
    the picture that the network saw. Returns (x0, y0, x1, y1), x1 and y1 exclusive, inside the picture and at
    least one pixel wide and high; None for a map that is positive nowhere or not finite at its maximum.
    """
    bar = threshold * float(values.max())
    if not (bar > 0 and math.isfinite(bar)):
        return None
    x0, y0, x1, y1 = geometry.seen
    shrink = min(1.0, GRID / max(x1 - x0, y1 - y0))
    columns, rows = (max(1, round(side * shrink)) for side in (x1 - x0, y1 - y0))
    mask = _above(values, columns, rows, bar)
    found = runs(mask)
    owners = components(found)
    if owners.any():  # more than one, which is that of the first run
        found = found.taken(owners == _largest(found, owners, values, (columns, rows)))
    # In the grid's own columns, which begin behind the false one.
    left, right = int((found.begins % found.stride).min()) - 1, int(((found.ends - 1) % found.stride).max())
    top, bottom = (int(place) // found.stride for place in (found.begins[0], found.begins[-1]))
    x0, x1 = _pixels(left, right, columns, (x0, x1), geometry.width)
    y0, y1 = _pixels(top, bottom + 1, rows, (y0, y1), geometry.height)
    return x0, y0, x1, y1


def _above(values: FloatArray, columns: int, rows: int, bar: float) -> NDArray[np.bool_]:
    """Where the resized map lies above `bar`, by Pillow's resize to the last bit; a false column stands before it."""
    mask = np.zeros((rows, 1 + columns), np.bool_)
    grid = stretch(values, columns, rows)
    # Half as much again as the resizes may differ by, since the bars themselves are rounded to float32.
    slack = 1.5 * ROUNDING * float(np.abs(values).max()) + SMALLEST
    np.greater(grid, bar + slack, out=mask[:, 1:])
    above = np.count_nonzero(mask)
    if above == 0 or above != np.count_nonzero(grid > bar - slack):  # a pixel is too close to call
        grid = by_pillow(values, columns, rows)
        np.greater(grid, bar, out=mask[:, 1:])
        if not mask.any():  # the peak fell between the points of a grid coarser than the map
            row, column = divmod(int(grid.argmax()), columns)
            mask[row, 1 + column] = True
    return mask


def _largest(found: Runs, owners: Integers, values: FloatArray, size: tuple[int, int]) -> int:
    """The owner of most pixels; of several that own as many, that of the peak."""
    areas = np.bincount(owners, found.ends - found.begins)
    widest = np.flatnonzero(areas == areas.max())
    if len(widest) > 1:
        grid = np.pad(by_pillow(values, *size), ((0, 1), (1, 0)))  # the false column, and an end behind the last run
        heights = np.maximum.reduceat(grid.ravel(), np.stack(found[:2], axis=1).ravel())[::2]
        widest = widest[[np.argmax([heights[owners == owner].max() for owner in widest])]]
    return int(widest[0])


def _pixels(first: int, last: int, steps: int, seen: tuple[float, float], limit: int) -> tuple[int, int]:
    """From the grid's step `first` to before `last`, of `steps` between the two ends of `seen`, in whole pixels."""
    start, end = seen
    step = (end - start) / steps
    low = min(max(0, round(start + first * step)), limit - 1)
    high = min(max(low + 1, round(start + last * step)), limit)
    return low, high
