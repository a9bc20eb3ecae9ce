"""One map's numbers, from what the network says of changed pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.core.faithfulness.perturbation import blurred, heat_of, masked, ranked, replaced, without
from worker.core.types import FloatArray

#: Pictures between the whole and the empty one; ROAD's shares of pixels that stay, in percent.
STEPS = 20
PERCENTILES = (20, 40, 60, 80)
#: Pictures (H, W, C) in 0..255 → the probability of the class that the map is of, in each.
Classify = Callable[[Sequence[FloatArray]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """All of them are about the probability of one class; `ImageRecord.evaluation` says what each one is."""

    drop: float
    increase: bool
    deletion: float
    insertion: float
    morf: float
    lerf: float
    sparsity: float
    complexity: float
    deletion_curve: tuple[float, ...]
    insertion_curve: tuple[float, ...]

    @property
    def road(self) -> float:
        """ROAD combined: half of what the least relevant pixels are spared and the most relevant ones cost."""
        return (self.lerf - self.morf) / 2


def faithfulness(
    values: FloatArray, picture: FloatArray, whole: float, classify: Classify, *, blank: FloatArray, noise: FloatArray
) -> Faithfulness:
    """How far the raw map (h, w) says what the network goes by in `picture` (H, W, C).

    `whole` is the probability in the picture as it is; `blank` (C,) the colour of what is taken away, `noise` (C,) that
    of ROAD. Calls `classify` with at most `STEPS + 1` pictures at once.
    """
    height, width, _ = picture.shape
    heat = heat_of(values, width, height)
    order = ranked(heat)
    nothing, soft = np.broadcast_to(blank, picture.shape), blurred(picture)
    kept, *deleted = classify([masked(picture, heat, blank), *replaced(picture, nothing, order, STEPS)])
    inserted = classify([soft, *list(replaced(soft, picture, order, STEPS))[:-1]])
    filled = (without(picture, front, PERCENTILES, noise) for front in (order, order[::-1]))
    shares = classify([each for pictures in filled for each in pictures])
    morf, lerf = shares[: len(PERCENTILES)], shares[len(PERCENTILES) :]
    deletion, insertion = (whole, *deleted), (*inserted, whole)
    return Faithfulness(
        drop=drop(whole, kept),
        increase=kept > whole,
        deletion=area(deletion),
        insertion=area(insertion),
        morf=float(np.mean(morf)),
        lerf=float(np.mean(lerf)),
        sparsity=gini(heat),
        complexity=entropy(heat),
        deletion_curve=deletion,
        insertion_curve=insertion,
    )


def drop(whole: float, kept: float) -> float:
    """By which share of itself the probability fell, 0 where it rose (Chattopadhyay et al. 2018)."""
    return max(0.0, whole - kept) / whole if whole > 0 else 0.0


def area(curve: Sequence[float]) -> float:
    """Under a curve over 0..1 whose points are equally far apart, by trapezoids (Petsiuk et al. 2018)."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def gini(heat: NDArray[np.floating]) -> float:
    """0 where all pixels are equally hot, near 1 where few hold all the heat; 0 for no heat at all.

    Chalasani, Chen, Chowdhury, Jha, Wu: Concise Explanations of Neural Networks using Adversarial Training, ICML 2020.
    """
    flat = np.sort(heat.ravel().astype(np.float64))
    total, count = flat.sum(), flat.size
    if total == 0:
        return 0.0
    return float(((2 * np.arange(1, count + 1) - count - 1) * flat).sum() / (count * total))


def entropy(heat: NDArray[np.floating]) -> float:
    """Of the pixels' shares of the heat, in nats: low where the map says one simple thing; 0 for no heat at all.

    Bhatt, Weller, Moura: Evaluating and Aggregating Feature-based Model Explanations, IJCAI 2020.
    """
    flat = heat.ravel().astype(np.float64)
    if flat.sum() == 0:
        return 0.0
    shares = flat[flat > 0] / flat.sum()
    return float(-(shares * np.log(shares)).sum())


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
