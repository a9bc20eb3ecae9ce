"""How much of a map is left when the network has forgotten what it learned: the rank correlation of both maps."""

import numpy as np
from numpy.typing import NDArray

from worker.core.types import FloatArray


def rank_correlation(real: FloatArray, random: FloatArray | None) -> float | None:
    """Spearman's: Pearson's correlation of the cells' ranks, equal cells sharing the mean of theirs.

    1 for the same order of cells, -1 for the reverse. None for a real map that is flat, which has no order; 0 for
    another one that is flat or, None, not finite: it has nothing of the order.
    """
    first = _ranks(real)
    if np.ptp(first) == 0:
        return None
    if random is None or np.ptp(random) == 0:
        return 0.0
    return float(np.corrcoef(first, _ranks(random))[0, 1])


def _ranks(values: FloatArray) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place].ravel()
    return ranks
