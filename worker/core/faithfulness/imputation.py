"""Removed pixels filled in from their neighbours: the noisy linear imputation of ROAD."""

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


def imputed(picture: FloatArray, removed: NDArray[np.bool_], noise: FloatArray | float = 0.0) -> FloatArray:
    """The picture (H, W, C) with each of the `removed` (H, W) pixels as the weighted mean of its eight neighbours.

    One sparse system says so of all of them at once; `noise`, which broadcasts to (removed, C), is added to what it
    gives. At least one pixel must be left.

    Rong, Leemann, Borisov, Kasneci, Kasneci: A Consistent and Efficient Evaluation Strategy for Attribution Methods,
    ICML 2022, arXiv 2202.00449.
    """
    rows, columns = np.nonzero(removed)
    count = len(rows)
    if count == 0:
        return picture
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
    # It is symmetric and dominated by its diagonal: no pivoting, and an ordering that takes half the time.
    solved = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True}).solve(known)
    filled = picture.copy()
    filled[rows, columns] = solved + noise
    return filled
