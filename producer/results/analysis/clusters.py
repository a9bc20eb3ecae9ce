"""Images of one class whose maps are alike, and what is suspicious of them.

Clusters are found by SciPy, which a worker brings anyway: hierarchical clustering after Ward gives the same answer each
time without a seed, and takes milliseconds for the maps that are kept of a class.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from producer.results.analysis.kept_maps import rounded
from shared.contract import ClassHeat, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from producer.results.analysis.kept_maps import Array, Looked

#: Maps that are kept: of each class, and of all classes together. A class of more images is known by a sample.
MOST_OF_CLASS, MOST = 500, 50_000
#: Cells of a kept map in each direction.
SIDE = 16
#: Smaller classes and smaller clusters say nothing.
LEAST_OF_CLASS, LEAST = 30, 8
MOST_CLUSTERS, MOST_LISTED, MOST_EXAMPLES = 6, 50, 6
#: A class is one cluster unless the last merge is so much wider than the one before it.
_GAP = 1.5
#: What chance makes: differences of so many standard errors, for there may be thousands of clusters.
_ERRORS = 4.0
#: Much heat in a cell is half as much again as nine of ten images of a class have there, and more than an even share:
#: the shapes of things make smaller differences.
_MUCH, _AGAIN = 0.9, 1.5
#: Of more classes than these, what is usual is reckoned once for all of them.
_MANY = 20
#: Below this score nothing is called suspicious.
_SCORE_FROM = 0.05
#: A cluster is suspicious when more of its heat than this is outside the true boxes.
_OUTSIDE_FROM = 0.5


class _Kept(NamedTuple):
    """One image and what is known of it; NaN for what is not."""

    image: int
    heat: NDArray[np.float16]
    correct: float
    probability: float
    border: float
    outside: float


class Samples:
    """Keeps some maps of each class, `MOST` of all classes: the same ones whatever the order in which they come.

    That is enough for `LEAST_OF_CLASS` of each of 1,666 classes. Of more, those with the fewest images so far are
    left out as whole classes, and stay so: then the order counts, which is that of the job.
    """

    def __init__(self) -> None:
        self._classes: dict[int, list[tuple[int, int, _Kept]]] = defaultdict(list)
        #: The images of each class so far, and the classes of which nothing is kept any more.
        self._images, self._left_out = Counter[int](), set[int]()
        self._most, self._kept, self._number = MOST_OF_CLASS, 0, count()

    def add(self, found: Looked, borders: Array) -> None:
        """The images of a chunk that have a true class; `borders` is the share of heat on the border of each."""
        heat = _pooled(found.heat).astype(np.float16)
        correct = np.where(found.predicted < 0, np.nan, found.truth == found.predicted)
        for row in np.flatnonzero(found.truth >= 0).tolist():
            image, number = int(found.image[row]), int(found.truth[row])
            if number in self._left_out:
                continue
            self._images[number] += 1
            # Spreads the images that are kept over the whole job.
            order = -(image * 2_654_435_761 % 2**32)
            own = self._classes[number]
            if len(own) >= self._most and order < own[0][0]:
                continue
            numbers = (each[row] for each in (correct, found.probability, borders, found.outside))
            entry = order, next(self._number), _Kept(image, heat[row].copy(), *map(float, numbers))
            if len(own) < self._most:
                heapq.heappush(own, entry)
                self._kept += 1
            else:
                heapq.heapreplace(own, entry)
        while self._kept > MOST and self._most > LEAST_OF_CLASS:
            self._most = max(LEAST_OF_CLASS, 3 * self._most // 4)
            for own in self._classes.values():
                own[:] = sorted(own)[-self._most :]
            self._kept = sum(map(len, self._classes.values()))
        if self._kept > MOST:
            self._leave_out()

    def _leave_out(self) -> None:
        """Whole classes, those of the fewest images first, until the rest is within the bound."""
        for number in sorted(self._classes, key=lambda number: (self._images[number], -number)):
            if self._kept <= MOST:
                return
            self._kept -= len(self._classes.pop(number))
            self._left_out.add(number)

    def clusters(self, labels: dict[int, str]) -> tuple[Cluster, ...]:
        """The clusters of all classes, the most suspicious first, then the largest. ImportError without SciPy."""
        classes = [
            _Class.of(index, [kept for _, _, kept in sorted(own, key=lambda entry: entry[2].image)])
            for index, own in sorted(self._classes.items())
            if len(own) >= LEAST_OF_CLASS
        ]
        if not classes:
            return ()
        levels = np.stack([np.quantile(each.cells, _MUCH, axis=0) for each in classes])
        # Of many classes one more or less changes nothing.
        common = _usual(levels) if len(levels) > _MANY else None
        shares = None if common is None else np.stack([each.above(common) for each in classes])

        def of_class(at: int, each: _Class) -> Iterator[Cluster]:
            usual = _usual(np.delete(levels, at, axis=0)) if common is None else common
            if usual is None:
                elsewhere = None
            elif shares is None:
                elsewhere = np.mean([other.above(usual) for other in classes if other is not each], axis=0)
            else:
                elsewhere = (shares.sum(axis=0) - shares[at]) / (len(classes) - 1)
            return each.clusters(labels.get(each.number, str(each.number)), usual, elsewhere)

        found = (cluster for at, each in enumerate(classes) for cluster in of_class(at, each))
        # Their maps are lists of numbers, large beside those that are kept.
        return tuple(heapq.nsmallest(MOST_LISTED, found, key=lambda one: (-one.score, -one.images, one.class_index)))


class _Class(NamedTuple):
    """The n images of one class that were kept. `heat` (n, h, w) stays as small as it was kept: all classes are in
    memory at once, and what is reckoned from it is of one class at a time."""

    number: int
    image: NDArray[np.int64]
    heat: NDArray[np.float16]
    correct: Array
    probability: Array
    border: Array
    outside: Array

    @classmethod
    def of(cls, number: int, kept: list[_Kept]) -> _Class:
        image, heat, *numbers = zip(*kept, strict=True)
        return cls(number, np.array(image), np.stack(heat), *map(np.array, numbers))

    @property
    def cells(self) -> Array:
        """The heat of each image, cell by cell."""
        return self.heat.reshape(len(self.heat), -1).astype(np.float64)

    def above(self, usual: Array) -> Array:
        """The share of its images with more heat than this, cell by cell."""
        share: Array = (self.cells > usual).mean(axis=0)
        return share

    def roots(self) -> NDArray[np.float32]:
        """The square roots of the shares of heat (n, cells): vectors of length 1, whose distances are Hellinger's."""
        found = np.sqrt(self.cells).astype(np.float32)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found

    def clusters(self, label: str, usual: Array | None, elsewhere: Array | None) -> Iterator[Cluster]:
        """Its clusters. `usual` is how much heat is much in each cell in other classes, `elsewhere` the share of their
        images that have more; None without other classes.

        Where many images have much heat in one cell, those are a cluster, and the rest is another; else Ward's are.
        """
        score, cell = _beyond_chance(self.cells, usual)
        roots = self.roots()
        if usual is not None and elsewhere is not None and score >= _SCORE_FROM:
            at_place = self.cells[:, cell] > usual[cell]
            found = self._cluster(roots, at_place, {"heat at one place, and not where other classes have it": score})
            yield msgspec.structs.replace(found, label=label, elsewhere=float(elsewhere[cell]))
            rest = [~at_place]
        else:
            numbers = _numbers(roots)
            rest = [numbers == number for number in range(1, numbers.max() + 1)]
        for members in rest:
            if members.sum() >= LEAST:
                yield msgspec.structs.replace(self._cluster(roots, members, {}), label=label)

    def _cluster(self, roots: NDArray[np.float32], members: NDArray[np.bool_], scores: dict[str, float]) -> Cluster:
        likeness = roots @ roots[members].mean(axis=0)
        share, own = float(members.mean()), self._picked(members)
        if own.outside is not None and own.outside > _OUTSIDE_FROM:
            scores["heat outside the true boxes"] = share * own.outside
        for values, less, more in (
            (
                self.correct,
                "wrong more often than the rest of the class",
                "right more often than the rest of the class",
            ),
            (self.probability, "less sure than the rest of the class", "surer than the rest of the class"),
        ):
            inside, rest = (_known(values[chosen]) for chosen in (members, ~members))
            scores[less], scores[more] = share * _more(rest, inside), share * _more(inside, rest)
        reason = max(scores, key=scores.__getitem__)
        typical = sorted(np.flatnonzero(members).tolist(), key=lambda at: (-float(likeness[at]), int(self.image[at])))
        return Cluster(
            label="",
            class_index=self.number,
            images=int(members.sum()),
            sampled=len(members),
            reason=reason if scores[reason] >= _SCORE_FROM else None,
            score=scores[reason] if scores[reason] >= _SCORE_FROM else 0.0,
            elsewhere=None,
            accuracy=_mean(self.correct[members]),
            rest_accuracy=_mean(self.correct[~members]),
            probability=_mean(self.probability[members]) or 0.0,
            rest_probability=_mean(self.probability[~members]),
            heat=own,
            examples=tuple(int(self.image[at]) for at in typical[:MOST_EXAMPLES]),
        )

    def _picked(self, members: NDArray[np.bool_]) -> ClassHeat:
        """The maps of some of the images."""
        heat = self.heat[members].astype(np.float64)
        flat = heat.reshape(len(heat), -1)
        directions = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return ClassHeat(
            images=len(heat),
            mean_map=rounded(heat.mean(axis=0)),
            deviation_map=rounded(heat.std(axis=0)),
            alike=float(np.linalg.norm(directions.mean(axis=0))),
            border=float(self.border[members].mean()),
            outside=_mean(self.outside[members]),
        )


def _usual(levels: Array) -> Array | None:
    """How much heat is much in each cell, for three of four of these classes; None without any."""
    if not len(levels):
        return None
    usual: Array = _AGAIN * np.quantile(levels, 0.75, axis=0, method="higher")
    return usual.clip(min=1 / levels.shape[1])


def _beyond_chance(cells: Array, usual: Array | None) -> tuple[float, int]:
    """Of n images (n, cells) the share that has much heat in one cell, above what other classes have there, less what
    chance makes; at least 0. And that cell."""
    if usual is None:
        return 0.0, 0
    share = (cells > usual).mean(axis=0)
    variance = share * (1 - share) + _MUCH * (1 - _MUCH) + 0.25 / len(cells)
    beyond = share - (1 - _MUCH) - _ERRORS * np.sqrt(variance / len(cells))
    return max(0.0, float(beyond.max())), int(beyond.argmax())


def _numbers(roots: NDArray[np.float32]) -> NDArray[np.int32]:
    """The number of each map's cluster, from 1. There are as many as leave the widest gap between what is merged within
    them and what would be merged next."""
    from scipy.cluster.hierarchy import fcluster, linkage

    merges = linkage(roots, "ward")
    widths = merges[::-1, 2][:MOST_CLUSTERS].clip(min=1e-6)
    gaps = widths[:-1] / widths[1:]
    wanted = 2 + int(gaps.argmax()) if gaps.max() >= _GAP and widths[0] > 1e-3 else 1
    numbers: NDArray[np.int32] = fcluster(merges, wanted, "maxclust")
    return numbers


def _pooled(heat: Array) -> Array:
    """Maps (n, h, w) with at most SIDE cells in each direction; cells that become one are added up."""
    for axis in (1, 2):
        if (side := heat.shape[axis]) > SIDE:
            heat = np.add.reduceat(heat, np.arange(SIDE) * side // SIDE, axis=axis)
    return heat


def _more(some: NDArray[np.generic], others: NDArray[np.generic]) -> float:
    """How much greater the mean of `some` values is than that of `others`, less what chance makes; at least 0."""
    if min(len(some), len(others)) < LEAST:
        return 0.0
    error = np.sqrt(sum((each.var() + 0.25 / len(each)) / len(each) for each in (some, others)))
    return max(0.0, float(some.mean() - others.mean() - _ERRORS * error))


def _known(values: Array) -> Array:
    return values[np.isfinite(values)]


def _mean(values: Array) -> float | None:
    known = _known(values)
    return float(known.mean()) if len(known) else None
