"""Where the network looked, over a whole job: mean maps by class and by confusion, heat outside the true boxes, classes
whose heat lies elsewhere than that of all others."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from producer.parallel import ordered
from producer.results.analysis.clusters import Samples
from producer.results.analysis.kept_maps import Looked, divergence, looked, on_border, opened, rounded
from shared import keys
from shared.contract import ClassHeat, Cluster, Suspect
from shared.errors import NotFoundError
from shared.storage.job_objects import MAX_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from producer.results.analysis.kept_maps import Array
    from shared.ledger import RedisLedger
    from shared.storage.port import ObjectStore

#: A class of fewer images says nothing about where its heat usually lies.
LEAST_IMAGES = 30
#: From so much on, of 1, a class stands out by the place of its heat. A network that learned a mark in a corner beside
#: the thing itself scores 0.06, and the same without the mark 0 (`tests/numeric/faithfulness/test_watermark.py`).
ELSEWHERE_FROM = 0.02
#: A class is suspect when more of its heat than this is outside the true boxes.
OUTSIDE_FROM = 0.5
MOST_SUSPECTS, MOST_EXAMPLES = 20, 5


class Heat:
    """Sums over images, class by class: memory grows with the classes and not with the job, but for one byte per image.

    `cells` are pairs of classes, true and predicted, whose maps are summed as well.
    """

    def __init__(self, cells: Collection[tuple[int, int]] = ()) -> None:
        #: Images with ground truth whose maps were looked at.
        self.images = 0
        #: For each image by its index, how many percent of its heat lie in the outermost cells, plus 1; 0: not known.
        self.border = bytearray()
        self._cells = frozenset(cells)
        self._shape: tuple[int, ...] = ()
        self._classes, self._by_predicted, self._by_truth = _Table[int](), _Table[_Cell](), _Table[_Cell]()
        self._marks: dict[int, _Marks] = defaultdict(_Marks)
        self._samples = Samples()

    def read(self, ledger: RedisLedger, store: ObjectStore, job: str, *, total: int, threads: int) -> None:
        """Every chunk's maps, of a job of `total` images; chunks without any are passed over. DamagedMapsError for an
        object that is damaged."""

        def fetch(key: str) -> Looked | None:
            try:
                return looked(opened(key, store.get(key, MAX_BYTES)), total)
            except NotFoundError:
                return None

        ends = (keys.chunk_maps_object(job, done.chunk, done.attempt) for done in ledger.done(job) if not done.failed)
        for found in ordered(fetch, ends, threads=threads):
            if found is not None and len(found.image):
                self.add(found)

    def add(self, found: Looked) -> None:
        """The images of one chunk. Maps of another size than the first ones' are left out."""
        self._shape = self._shape or found.heat.shape[1:]
        if found.heat.shape[1:] != self._shape:
            return
        borders = on_border(found.heat)
        self.border.extend(bytes(max(0, int(found.image.max()) + 1 - len(self.border))))
        for image, share in zip(found.image.tolist(), borders.tolist(), strict=True):
            self.border[image] = 1 + round(100 * min(1.0, max(0.0, share)))
        known = found.truth >= 0
        self.images += int(known.sum())
        truths = found.truth.tolist()
        self._classes.add(truths, found.heat, borders, found.outside, known)
        cells = list(zip(truths, found.predicted.tolist(), strict=True))
        wanted = known & np.array([cell in self._cells for cell in cells], bool)
        nothing = np.full(len(found.image), np.nan)
        self._by_predicted.add(cells, found.best, on_border(found.best), nothing, wanted)
        self._by_truth.add(cells, found.heat, borders, found.outside, wanted & found.own)
        for row in np.flatnonzero(known).tolist():
            self._marks[truths[row]].add(int(found.image[row]), float(found.outside[row]))
        self._samples.add(found, borders)

    def classes(self) -> dict[int, ClassHeat]:
        """What is known of each class."""
        return {index: self._heat(self._classes.of(index)) for index in self._classes.rows}

    def cell(self, truth: int | None, predicted: int | None) -> tuple[ClassHeat | None, ClassHeat | None]:
        """The maps of the predicted class, and of the true class, in images of the one taken for the other."""
        pair = (-1 if truth is None else truth, -1 if predicted is None else predicted)
        predicted_heat, truth_heat = (
            self._heat(table.of(pair)) if pair in table.rows else None for table in (self._by_predicted, self._by_truth)
        )
        return predicted_heat, truth_heat

    def clusters(self, labels: dict[int, str]) -> tuple[Cluster, ...]:
        """Images of one class whose maps are alike, the most suspicious first. ImportError without SciPy."""
        return self._samples.clusters(labels)

    def suspects(self, labels: dict[int, str]) -> tuple[Suspect, ...]:
        """Classes that deserve a look, the most suspicious first."""
        found = [*self._outside(labels), *self._elsewhere(labels)]
        return tuple(sorted(found, key=lambda one: -one.score)[:MOST_SUSPECTS])

    def _heat(self, sums: _Sums) -> ClassHeat:
        mean = sums.shares / sums.images
        deviation = np.sqrt((sums.squares / sums.images - mean**2).clip(min=0))
        return ClassHeat(
            images=sums.images,
            mean_map=rounded(mean.reshape(self._shape)),
            deviation_map=rounded(deviation.reshape(self._shape)),
            alike=sums.alike,
            border=sums.border / sums.images,
            outside=sums.outside / sums.boxed if sums.boxed else None,
        )

    def _outside(self, labels: dict[int, str]) -> Iterator[Suspect]:
        for index in self._classes.rows:
            sums = self._classes.of(index)
            if sums.boxed and (share := sums.outside / sums.boxed) > OUTSIDE_FROM:
                yield Suspect(
                    label=labels.get(index, str(index)),
                    images=sums.boxed,
                    reason="heat outside the true boxes",
                    score=share,
                    examples=tuple(image for _, image in sorted(self._marks[index].worst, reverse=True)),
                )

    def _elsewhere(self, labels: dict[int, str]) -> Iterator[Suspect]:
        """Classes whose heat lies at one place, and not where that of the others lies: how far the mean map is from
        that of all other classes, beyond what chance does, times how alike single maps are."""
        large = {
            index: sums for index in self._classes.rows if (sums := self._classes.of(index)).images >= LEAST_IMAGES
        }
        if len(large) < 2:
            return
        images = sum(each.images for each in large.values())
        shares, squares = (sum(parts) for parts in zip(*((e.shares, e.squares) for e in large.values()), strict=True))
        for index, own in large.items():
            rest = own._replace(images=images - own.images, shares=shares - own.shares, squares=squares - own.squares)
            score = _apart(own, rest) * own.alike
            if score >= ELSEWHERE_FROM:
                yield Suspect(
                    label=labels.get(index, str(index)),
                    images=own.images,
                    reason="heat at one place, and not where other classes have it",
                    score=score,
                    examples=tuple(self._marks[index].first),
                )


_Cell = tuple[int, int]
Key = TypeVar("Key")


class _Sums(NamedTuple):
    """Of some images: their maps as shares of 1, and the squares of these shares, each summed; how alike they are; the
    shares of heat in outermost cells, and outside the boxes of the `boxed` ones, summed."""

    images: int
    shares: Array
    squares: Array
    alike: float
    border: float
    boxed: int
    outside: float


class _Table(Generic[Key]):
    """Sums over maps by key, a row for each key."""

    def __init__(self) -> None:
        self.rows: dict[Key, int] = {}
        self._maps: Array = np.zeros((3, 0, 0))
        self._numbers: Array = np.zeros((0, 4))

    def add(self, names: Sequence[Key], heat: Array, border: Array, outside: Array, wanted: NDArray[np.bool_]) -> None:
        """The maps (n, h, w) of these n names, those that are `wanted` and not NaN."""
        chosen = np.flatnonzero(wanted & np.isfinite(heat).all(axis=(1, 2)))
        if not len(chosen):
            return
        rows = np.array([self.rows.setdefault(names[at], len(self.rows)) for at in chosen.tolist()])
        flat = heat[chosen].reshape(len(chosen), -1)
        if len(self.rows) > len(self._numbers):
            grown = 2 * len(self.rows) - len(self._numbers)
            self._numbers = np.pad(self._numbers, ((0, grown), (0, 0)))
            self._maps = np.concatenate(
                [self._maps.reshape(3, -1, flat.shape[1]), np.zeros((3, grown, flat.shape[1]))], 1
            )
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        for sums, more in zip(self._maps, (flat, flat**2, flat / lengths), strict=True):
            np.add.at(sums, rows, more)
        boxed = np.isfinite(outside[chosen])
        more = np.stack([np.ones(len(rows)), border[chosen], boxed, np.where(boxed, outside[chosen], 0)], axis=1)
        np.add.at(self._numbers, rows, more)

    def of(self, name: Key) -> _Sums:
        """The sums of this key."""
        row = self.rows[name]
        images, border, boxed, outside = self._numbers[row].tolist()
        shares, squares, directions = self._maps[:, row]
        alike = float(np.linalg.norm(directions)) / images
        return _Sums(int(images), shares, squares, alike, border, int(boxed), outside)


class _Marks:
    """Images to look at: the first ones of a class, and those with most heat outside their boxes."""

    def __init__(self) -> None:
        self.first: list[int] = []
        self.worst: list[tuple[float, int]] = []

    def add(self, image: int, outside: float) -> None:
        if len(self.first) < MOST_EXAMPLES:
            self.first.append(image)
        if outside >= 0:  # not NaN
            heapq.heappush(self.worst, (outside, image))
            if len(self.worst) > MOST_EXAMPLES:
                heapq.heappop(self.worst)


def _apart(one: _Sums, other: _Sums) -> float:
    """How far two mean maps are from each other, in bits, less what chance does to means of so few maps; at least 0.

    For small differences the divergence is Σ (p - q)² / 8m with m = (p + q) / 2, and by chance (p - q)² is the sum of
    the variances of both means. Twice that is taken off, since chance varies itself.
    """
    variance = np.zeros_like(one.shares)
    for each in (one, other):
        mean = each.shares / each.images
        variance += (each.squares / each.images - mean**2).clip(min=0) / max(1, each.images - 1)
    middle = (one.shares / one.images + other.shares / other.images) / 2
    there = middle > 0
    chance = float((variance[there] / middle[there]).sum() / (8 * np.log(2)))
    return max(0.0, divergence(one.shares, other.shares) - 2 * chance)
