"""Connected components of a mask, by the runs of its rows: hundreds of them, where its pixels are tens of thousands."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class Runs(NamedTuple):
    """What is true in a row without a gap, from `begins` to before `ends`, in reading order.

    Both are places in the flattened mask, a row of which has `stride` places and begins with a false one. So two
    runs touch when one of them, moved by `stride`, overlaps the other.
    """

    begins: Integers
    ends: Integers
    stride: int

    def taken(self, which: NDArray[np.bool_]) -> "Runs":
        """Those of them that `which` (n,) says."""
        return Runs(self.begins[which], self.ends[which], self.stride)


def runs(mask: NDArray[np.bool_]) -> Runs:
    """The runs of a contiguous mask (h, w) whose first column is false."""
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[-1]:
        edges = np.append(edges, flat.size)
    return Runs(edges[::2], edges[1::2], mask.shape[1])


def components(found: Runs) -> Integers:
    """For each run the first one of its component, neighbours sharing a side: equal numbers, one component."""
    own = np.arange(len(found.begins))
    # Of the row above, the first and the last run that touch this one; none where the last is before the first.
    first = np.searchsorted(found.ends, found.begins - found.stride, side="right")
    last = np.searchsorted(found.begins, found.ends - found.stride, side="left") - 1
    alone = last < first
    if np.count_nonzero(alone) == 1:  # all others hang on an earlier one, so on this one in the end: most maps
        return np.zeros_like(own)
    heads = _followed(np.where(alone, own, first))
    for below in np.flatnonzero(last > first):
        for above in range(first[below], last[below]):
            low, high = sorted((_head(heads, above), _head(heads, above + 1)))
            heads[high] = low
    return _followed(heads)


def _head(heads: Integers, run: int) -> int:
    while heads[run] != run:
        run = int(heads[run])
    return run


def _followed(heads: Integers) -> Integers:
    """To the end of each chain, in as many steps as its length has binary digits."""
    while True:
        further = heads[heads]
        if np.array_equal(further, heads):
            return heads
        heads = further
