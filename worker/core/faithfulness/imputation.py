"""Removed pixels filled in from their neighbours: the noisy linear imputation of ROAD."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from worker.core.types import FloatArray

#: Each neighbour's share in a pixel. Beside an edge the others' shares are scaled up to a sum of 1.
_SHARES = {
    **dict.fromkeys(((-1, 0), (1, 0), (0, -1), (0, 1)), 1 / 6),
    **dict.fromkeys(((-1, -1), (-1, 1), (1, -1), (1, 1)), 1 / 12),
}
#: A square of so many pixels is not cut any further.
_UNCUT = 2


def imputed(picture: FloatArray, removed: NDArray[np.bool_], noise: FloatArray | float = 0.0) -> FloatArray:
    """The picture (H, W, C) with each of the `removed` (H, W) pixels as the weighted mean of its eight neighbours.

    One sparse system says so of all of them at once; `noise`, which broadcasts to (removed, C), is added to what it
    gives, row by row. At least one pixel must be left.

    Rong, Leemann, Borisov, Kasneci, Kasneci: A Consistent and Efficient Evaluation Strategy for Attribution Methods,
    ICML 2022, arXiv 2202.00449.
    """
    rows, columns = np.nonzero(removed)
    count = len(rows)
    if count == 0:
        return picture
    order = np.argsort(_dissected(*removed.shape)[rows, columns])
    rows, columns = rows[order], columns[order]
    number = np.full(removed.shape, -1)
    number[rows, columns] = np.arange(count)
    sums, known = np.zeros(count), np.zeros((count, picture.shape[2]))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64], float]] = []
    for (down, right), share in _SHARES.items():
        y, x = rows + down, columns + right
        inside = np.flatnonzero((y >= 0) & (y < removed.shape[0]) & (x >= 0) & (x < removed.shape[1]))
        y, x = y[inside], x[inside]
        sums[inside] += share
        others = number[y, x]
        there = others < 0
        known[inside[there]] += share * picture[y[there], x[there]]
        entries.append((inside[~there], others[~there], -share))
    own = np.arange(count)
    system = sparse.csc_array(
        (
            np.concatenate([sums, *(np.full(len(here), value) for here, _, value in entries)]),
            (np.concatenate([own, *(e[0] for e in entries)]), np.concatenate([own, *(e[1] for e in entries)])),
        ),
        shape=(count, count),
    )
    # It is symmetric and dominated by its diagonal: no pivoting. The order of its rows is that of elimination, which
    # takes 40 % less time so than in the one that SuperLU would look for. A band matrix takes as long, but SciPy holds
    # Python's lock meanwhile: nothing else of the worker would run for a tenth of a second.
    solved = splu(system, permc_spec="NATURAL", diag_pivot_thresh=0, options={"SymmetricMode": True}).solve(known)
    filled = picture.copy()
    filled[rows, columns] = solved
    filled[removed] += noise
    return filled


@lru_cache(maxsize=8)
def _dissected(height: int, width: int) -> NDArray[np.int64]:
    """When each pixel (H, W) is eliminated: those of a line that cuts the picture in two after both halves, and so on
    within them.

    George: Nested Dissection of a Regular Finite Element Mesh, SIAM Journal on Numerical Analysis 1973.
    """
    place = np.zeros((height, width), np.int64)
    last = place.size
    waiting = [(0, height, 0, width)]
    while waiting:
        top, bottom, left, right = waiting.pop()
        rows, columns = bottom - top, right - left
        if max(rows, columns) <= _UNCUT:
            line = place[top:bottom, left:right]
        elif rows >= columns:
            middle = (top + bottom) // 2
            line = place[middle : middle + 1, left:right]
            waiting += [(top, middle, left, right), (middle + 1, bottom, left, right)]
        else:
            middle = (left + right) // 2
            line = place[top:bottom, middle : middle + 1]
            waiting += [(top, bottom, left, middle), (top, bottom, middle + 1, right)]
        last -= line.size
        line[...] = last + np.arange(line.size).reshape(line.shape)
    return place
