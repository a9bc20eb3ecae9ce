"""An activation map → the box around what it shows."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.core.drawing.stretch import stretch
from worker.core.types import FloatArray, Geometry

#: The map is resized to the picture, but to no more than this on its longer side: a map of 7 or 14 cells holds
#: nothing finer. Up to 512 pixels the box is that of the full size; beyond, each of its sides lies within
#: longest side / 512 pixels of it.
GRID = 512


class _Above(NamedTuple):
    """What lies above the bar, on a grid over the part of the picture that the map shows."""

    mask: NDArray[np.bool_]
    grid: FloatArray
    #: Where the grid begins and ends, in pixels of the original.
    across: tuple[float, float]
    down: tuple[float, float]


def box(values: FloatArray, geometry: Geometry, threshold: float) -> tuple[int, int, int, int] | None:
    """The box of the CAM paper (Zhou et al. 2016, section 3.2) in pixels of the upright original.

    It surrounds the largest connected component (by area; of equal ones that with the higher maximum) of what
    lies above `threshold` times the maximum of the raw map `values` (h, w), resized bilinearly to the part of
    the picture that the network saw. Returns (x0, y0, x1, y1), x1 and y1 exclusive, inside the picture and at
    least one pixel wide and high; None for a map that is positive nowhere or not finite at its maximum.
    """
    above = _above(values, geometry, threshold)
    if above is None:
        return None
    mask = above.mask if _is_plainly_one(above.mask) else _largest(above.mask, above.grid)
    return _box(above, geometry, *(_span(np.any(mask, axis=axis)) for axis in (0, 1)))


def boxes(values: FloatArray, geometry: Geometry, threshold: float, most: int) -> tuple[tuple[int, int, int, int], ...]:
    """The boxes around up to `most` connected components of what `box` looks at, the one with the highest value first.

    Of equally hot ones the one that begins further up, then further left. `box` is one of them if there are enough,
    but not always the first: it is the largest.
    """
    above = _above(values, geometry, threshold)
    if above is None:
        return ()
    labels, count = ndimage.label(above.mask)
    peaks = np.asarray(ndimage.maximum(above.grid, labels, np.arange(1, count + 1)))
    places = ndimage.find_objects(labels)
    hottest = np.argsort(-peaks, kind="stable")[:most]
    return tuple(_box(above, geometry, places[each][1], places[each][0]) for each in hottest)


def over_seen(values: FloatArray, geometry: Geometry) -> FloatArray:
    """The map, resized bilinearly to the part of the picture that the network saw, at most `GRID` points a side."""
    x0, y0, x1, y1 = geometry.seen
    shrink = min(1.0, GRID / max(x1 - x0, y1 - y0))
    columns, rows = (max(1, round(side * shrink)) for side in (x1 - x0, y1 - y0))
    return stretch(values, columns, rows)


def _above(values: FloatArray, geometry: Geometry, threshold: float) -> _Above | None:
    bar = threshold * float(values.max())
    if not (bar > 0 and math.isfinite(bar)):
        return None
    x0, y0, x1, y1 = geometry.seen
    grid = over_seen(values, geometry)
    rows, columns = grid.shape
    # Of a letterbox only what shows the picture: beside it there is nothing to box.
    across, x0, x1 = _inside(x0, x1, geometry.width, columns)
    down, y0, y1 = _inside(y0, y1, geometry.height, rows)
    grid = grid[down, across]
    mask = grid > bar
    if not mask.any():  # the peak fell between the points of a grid coarser than the map
        mask.flat[grid.argmax()] = True
    return _Above(mask, grid, (x0, x1), (y0, y1))


def _box(above: _Above, geometry: Geometry, columns: slice, rows: slice) -> tuple[int, int, int, int]:
    """Around these columns and rows of the grid."""
    height, width = above.mask.shape
    left, right = _pixels(columns, width, *above.across, geometry.width)
    top, bottom = _pixels(rows, height, *above.down, geometry.height)
    return left, top, right, bottom


def _inside(start: float, end: float, limit: int, steps: int) -> tuple[slice, float, float]:
    """Of `steps` from `start` to `end` those that lie within 0 and `limit`, and where they begin and end."""
    step = (end - start) / steps
    first = min(max(0, round(-start / step)), steps - 1)
    last = max(first + 1, min(steps, round((limit - start) / step)))
    return slice(first, last), start + first * step, start + last * step


def _is_plainly_one(mask: NDArray[np.bool_]) -> bool:
    """Whether each row holds one run that touches the next row's: then `mask` is one component, which most maps are.

    False says nothing. It takes a quarter of the time of finding components.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    lines = mask[rows[0] : rows[-1] + 1]
    ends = np.count_nonzero(lines[:, 1:] != lines[:, :-1], axis=1) + lines[:, 0] + lines[:, -1]
    return bool((ends == 2).all() and (lines[1:] & lines[:-1]).any(axis=1).all())


def _largest(mask: NDArray[np.bool_], grid: FloatArray) -> NDArray[np.bool_]:
    """The largest component of `mask`, neighbours sharing a side; of equally large ones that with the peak."""
    labels, count = ndimage.label(mask)
    if count == 1:
        return mask
    areas = np.bincount(labels.ravel())
    areas[0] = 0  # the background
    widest = np.flatnonzero(areas == areas.max())
    if len(widest) > 1:
        widest = widest[[np.argmax(ndimage.maximum(grid, labels, widest))]]
    largest: NDArray[np.bool_] = labels == widest[0]
    return largest


def _span(hit: NDArray[np.bool_]) -> slice:
    """From the first to behind the last hit."""
    first, last = np.flatnonzero(hit)[[0, -1]]
    return slice(int(first), int(last) + 1)


def _pixels(span: slice, steps: int, start: float, end: float, limit: int) -> tuple[int, int]:
    """Of a grid of `steps` between `start` and `end` the pixels that these of them cover."""
    step = (end - start) / steps
    low = min(max(0, round(start + span.start * step)), limit - 1)
    high = min(max(low + 1, round(start + span.stop * step)), limit)
    return low, high
