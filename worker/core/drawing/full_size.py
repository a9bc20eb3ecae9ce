"""An activation map at the size of its picture: its heat, and the mask of what exceeds a threshold.

A few rows at a time, since in floating point a large picture would take four times its bytes.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.core.drawing.stretch import stretch
from worker.core.types import FloatArray, Geometry, UInt8Array

#: Numbers that are computed at once: they stay in a core's cache.
BAND = 65536


def rows(values: FloatArray, geometry: Geometry) -> Iterator[tuple[slice, slice, FloatArray]]:
    """The finite map (h, w), stretched over the part of the picture that the network saw, from top to bottom.

    Rows and columns of the upright original, and the values there, (rows, columns). The same bilinear numbers as
    `stretch`'s, but for rounding; a letterbox is stretched as far as it shows the picture.
    """
    across, left, right = _extent(geometry.seen[0], geometry.seen[2], geometry.width)
    down, top, bottom = _extent(geometry.seen[1], geometry.seen[3], geometry.height)
    columns = slice(left, right)
    height, width = values.shape
    if len(across) < width or len(down) < height:  # shrunk, so it is small
        whole = stretch(values, len(across), len(down))
        yield slice(top, bottom), columns, whole[top - down.start : bottom - down.start, left - across.start :]
        return
    low, high, share = _taps(np.arange(left, right) - across.start, len(across), width)
    wide = values[:, low] + share * (values[:, high] - values[:, low])
    low, high, share = _taps(np.arange(top, bottom) - down.start, len(down), height)
    step = max(1, BAND // (right - left))
    for first in range(0, bottom - top, step):
        band = slice(first, first + step)
        above, below = wide[low[band]], wide[high[band]]
        below -= above
        below *= share[band, None]
        below += above
        yield slice(top + first, top + first + len(below)), columns, below


def heat_picture(heat: FloatArray | None, geometry: Geometry, colours: UInt8Array) -> Image.Image:
    """Heat (h, w) in steps of the colormap, as a picture with that palette; a byte for each pixel of the original.

    Without heat, and where the network did not look, all is in the colour of no heat.
    """
    steps = np.zeros((geometry.height, geometry.width), np.uint8)
    if heat is not None:
        for down, across, band in rows(heat, geometry):
            steps[down, across] = band + np.float32(0.5)
    picture = Image.fromarray(steps)
    picture.putpalette(colours.tobytes())
    return picture


def mask(values: FloatArray, geometry: Geometry, threshold: float) -> NDArray[np.bool_] | None:
    """Where the map (h, w) exceeds `threshold` times its maximum: (height, width) of the upright original.

    None for a map that is positive nowhere or not finite at its maximum.
    """
    bar = threshold * float(values.max())
    if not (bar > 0 and math.isfinite(bar)):
        return None
    found = np.zeros((geometry.height, geometry.width), np.bool_)
    hottest, place = -math.inf, (0, 0)
    for down, across, band in rows(values, geometry):
        np.greater(band, bar, out=found[down, across])
        if (peak := float(band.max())) > hottest:
            row, column = divmod(int(band.argmax()), band.shape[1])
            hottest, place = peak, (down.start + row, across.start + column)
    found[place] = True  # also where the peak fell between pixels
    return found


def runs(found: NDArray[np.bool_]) -> bytes:
    """A mask (height, width) as the `counts` of COCO's compressed RLE: lengths of runs down the columns, 0 first.

    As `pycocotools.mask.encode`: each length less the one before the last, in groups of five bits with a bit that says
    that more follow, as letters from `0` on.
    """
    flat = found.T.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0] if not flat[0] else [0, 0], ends, [flat.size]]))
    rest = counts.copy()
    rest[3:] -= counts[1:-2]
    letters: list[NDArray[np.int64]] = []
    unfinished = np.ones(len(rest), np.bool_)
    while unfinished.any():
        group, rest = rest & 31, rest >> 5
        follows = np.where(group & 16, rest != -1, rest != 0)
        letters.append(np.where(unfinished, (group | follows << 5) + 48, 0))
        unfinished &= follows
    columns = np.stack(letters, axis=1)
    return columns[columns > 0].astype(np.uint8).tobytes()


def _extent(start: float, end: float, limit: int) -> tuple[range, int, int]:
    """The pixels that the map is stretched over, and from where to where they lie in the picture."""
    first = min(round(start), limit - 1)
    covered = range(first, max(first + 1, round(end)))
    return covered, max(0, first), min(limit, covered.stop)


def _taps(
    places: NDArray[np.int64], pixels: int, cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """The two cells between which each pixel lies, and how far it is on its way to the second: centres at halves."""
    centres = ((places + 0.5) * (cells / pixels) - 0.5).clip(0, cells - 1)
    low = centres.astype(np.int64)
    return low, np.minimum(low + 1, cells - 1), (centres - low).astype(np.float32)
