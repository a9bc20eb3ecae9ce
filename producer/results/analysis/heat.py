"""Where the network looked, over a whole job: mean maps by class, heat outside the true boxes, classes whose heat lies
elsewhere than that of all others. Read from the maps that workers keep beside the results of a chunk."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from producer.parallel import ordered
from producer.results.arrays import read_arrays
from shared import keys
from shared.contract import ClassHeat, Suspect
from shared.errors import CamqError, NotFoundError
from shared.storage.job_objects import MAX_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.ledger import RedisLedger
    from shared.storage.port import ObjectStore

    Array = NDArray[np.float64]
    Archive = dict[str, NDArray[np.generic]]

#: A class of fewer images says nothing about where its heat usually lies.
LEAST_IMAGES = 30
#: From so much on, of 1, a class stands out by the place of its heat. A network that learned a mark in a corner beside
#: the thing itself scores 0.06, and the same without the mark 0 (`tests/numeric/test_watermark.py`).
ELSEWHERE_FROM = 0.02
#: A class is suspect when more of its heat than this is outside the true boxes.
OUTSIDE_FROM = 0.5
MOST_SUSPECTS, MOST_EXAMPLES = 20, 5
#: Points by which a cell of a map is laid over boxes, in each direction.
_POINTS = 8
_NAMES = {"image", "class_index", "rank", "truth", "size", "seen", "maps", "boxes"}


class Heat:
    """Sums over images, class by class: memory grows with the classes and not with the job."""

    def __init__(self) -> None:
        #: Images whose maps were looked at.
        self.images = 0
        self._classes: dict[int, _OfClass] = defaultdict(_OfClass)

    def read(self, ledger: RedisLedger, store: ObjectStore, job: str, *, threads: int) -> None:
        """Every chunk's maps; chunks without any are passed over. CamqError for an object that is damaged."""

        def fetch(key: str) -> tuple[str, bytes]:
            try:
                return key, store.get(key, MAX_BYTES)
            except NotFoundError:
                return key, b""

        ends = (keys.chunk_maps_object(job, done.chunk, done.attempt) for done in ledger.done(job) if not done.failed)
        for key, data in ordered(fetch, ends, threads=threads):
            if data:
                self.add(_opened(key, data))

    def add(self, found: Archive) -> None:
        """The maps of one chunk. Of each image with one true class its map counts, or else that of the best class."""
        image, truth = found["image"], found["truth"]
        for first, last in _runs(image):
            true = int(truth[first])
            if true < 0:
                continue
            own = np.flatnonzero(found["class_index"][first:last] == true)
            row = first + int(own[0] if len(own) else np.argmin(found["rank"][first:last]))
            heat = found["maps"][row].astype(np.float64).clip(min=0)
            if not np.isfinite(heat).all() or not heat.any():
                continue
            self.images += 1
            boxes = found["boxes"][found["boxes"][:, 0] == image[first], 1:]
            outside = _outside(heat, found["seen"][row], found["size"][row], boxes) if len(boxes) else None
            self._classes[true].add(int(image[first]), heat, outside)

    def classes(self) -> dict[int, ClassHeat]:
        """What is known of each class."""
        return {index: each.summary() for index, each in self._classes.items() if each.images}

    def suspects(self, labels: dict[int, str]) -> tuple[Suspect, ...]:
        """What deserves a look, the most suspicious first."""
        found = [*self._outside(labels), *self._elsewhere(labels)]
        return tuple(sorted(found, key=lambda one: -one.score)[:MOST_SUSPECTS])

    def _outside(self, labels: dict[int, str]) -> Iterator[Suspect]:
        for index, each in self._classes.items():
            if each.boxed and (share := each.outside / each.boxed) > OUTSIDE_FROM:
                yield Suspect(
                    label=labels.get(index, str(index)),
                    images=each.boxed,
                    reason="heat outside the true boxes",
                    score=share,
                    examples=tuple(image for _, image in sorted(each.worst, reverse=True)),
                )

    def _elsewhere(self, labels: dict[int, str]) -> Iterator[Suspect]:
        """Classes whose heat lies at one place, and not where that of the others lies: how far the mean map is from
        that of all other classes, beyond what chance does, times how alike single maps are."""
        large = {index: each for index, each in self._classes.items() if each.images >= LEAST_IMAGES}
        shapes = {each.shares.shape for each in large.values()}
        if len(large) < 2 or len(shapes) > 1:
            return
        images = sum(each.images for each in large.values())
        shares, squares = (sum(parts) for parts in zip(*((e.shares, e.squares) for e in large.values()), strict=True))
        for index, each in large.items():
            own = _Sums(each.images, each.shares, each.squares)
            rest = _Sums(images - own.images, shares - own.shares, squares - own.squares)
            score = _apart(own, rest) * each.alike
            if score >= ELSEWHERE_FROM:
                yield Suspect(
                    label=labels.get(index, str(index)),
                    images=each.images,
                    reason="heat at one place, and not where other classes have it",
                    score=score,
                    examples=tuple(each.first),
                )


class _Sums(NamedTuple):
    """Of some images: their maps as shares of 1, and the squares of these shares, each summed."""

    images: int
    shares: Array
    squares: Array


class _OfClass:
    """Sums over the images of one class: their maps as shares of 1, and as vectors of length 1."""

    def __init__(self) -> None:
        self.images = self.boxed = 0
        self.outside = 0.0
        self.shares: Array = np.zeros((0, 0))
        self.squares: Array = np.zeros((0, 0))
        self._directions: Array = np.zeros((0, 0))
        self.first: list[int] = []
        #: Most heat outside the boxes, and whose it is.
        self.worst: list[tuple[float, int]] = []

    def add(self, image: int, heat: Array, outside: float | None) -> None:
        if self.shares.shape == (0, 0):
            self.shares, self.squares, self._directions = (np.zeros_like(heat) for _ in range(3))
        if heat.shape != self.shares.shape:
            return
        self.images += 1
        share = heat / heat.sum()
        self.shares += share
        self.squares += share**2
        self._directions += heat / np.linalg.norm(heat)
        if len(self.first) < MOST_EXAMPLES:
            self.first.append(image)
        if outside is not None:
            self.boxed += 1
            self.outside += outside
            heapq.heappush(self.worst, (outside, image))
            if len(self.worst) > MOST_EXAMPLES:
                heapq.heappop(self.worst)

    @property
    def alike(self) -> float:
        """1 where all maps are the same; the length of their mean direction."""
        return float(np.linalg.norm(self._directions)) / self.images

    def summary(self) -> ClassHeat:
        mean = self.shares / self.images
        return ClassHeat(
            images=self.images,
            mean_map=tuple(tuple(round(float(value), 4) for value in row) for row in mean),
            alike=self.alike,
            outside=self.outside / self.boxed if self.boxed else None,
        )


def _runs(image: NDArray[np.generic]) -> Iterator[tuple[int, int]]:
    """First and last row, exclusive, of each image, whose rows stand together."""
    edges = [0, *(np.flatnonzero(image[1:] != image[:-1]) + 1).tolist(), len(image)]
    yield from pairwise(edges)


def _outside(heat: Array, seen: NDArray[np.generic], size: NDArray[np.generic], boxes: NDArray[np.generic]) -> float:
    """The share of the heat (h, w) that is outside all boxes. What lies beside the picture, as with a letterbox, counts
    as neither."""
    x0, y0, x1, y1 = (float(edge) for edge in seen)
    height, width = (side * _POINTS for side in heat.shape)
    x = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width
    y = (y0 + (np.arange(height) + 0.5) * (y1 - y0) / height)[:, None]
    inside = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes.tolist():
        inside |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
    there = (x >= 0) & (x < float(size[0])) & (y >= 0) & (y < float(size[1]))
    dense = np.repeat(np.repeat(heat, _POINTS, axis=0), _POINTS, axis=1) * there
    total = dense.sum()
    return float(dense[~inside].sum() / total) if total else 0.0


def _apart(one: _Sums, other: _Sums) -> float:
    """How far two mean maps are from each other, in bits, less what chance does to means of so few maps; at least 0.

    For small differences the divergence is Σ (p - q)² / 8m with m = (p + q) / 2, and by chance (p - q)² is the sum of
    the variances of both means. Twice that is taken off, since chance varies itself.
    """
    variance = np.zeros_like(one.shares)
    for images, shares, squares in (one, other):
        variance += (squares / images - (shares / images) ** 2).clip(min=0) / max(1, images - 1)
    middle = (one.shares / one.images + other.shares / other.images) / 2
    there = middle > 0
    chance = float((variance[there] / middle[there]).sum() / (8 * np.log(2)))
    return max(0.0, _divergence(one.shares, other.shares) - 2 * chance)


def _divergence(one: Array, other: Array) -> float:
    """Jensen and Shannon's, in bits, of two sums of maps: 0 for the same distribution, 1 where they never meet."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2

    def relative(part: Array) -> float:
        there = part > 0
        return float((part[there] * np.log2(part[there] / middle[there])).sum())

    return (relative(p) + relative(q)) / 2


def _opened(key: str, data: bytes) -> Archive:
    """The arrays of an object. CamqError where they do not fit together."""
    try:
        found = read_arrays(data, _NAMES)
        rows, boxes = len(found["maps"]), len(found["boxes"])
        shapes: dict[str, tuple[int, ...]] = {"size": (rows, 2), "seen": (rows, 4), "boxes": (boxes, 5)}
        shapes |= dict.fromkeys(("image", "class_index", "rank", "truth"), (rows,))
        kinds = {"seen": "f", "maps": "f"}
        wrong = [name for name in sorted(_NAMES) if found[name].shape != shapes.get(name, found[name].shape)]
        wrong += [name for name in sorted(_NAMES) if found[name].dtype.kind != kinds.get(name, "i")]
        if wrong or found["maps"].ndim != 3 or not rows:
            raise ValueError(f"its arrays do not fit together: {', '.join(wrong) or 'maps'}")
    except (ValueError, TypeError) as error:  # TypeError: an array without a length
        raise CamqError(f"the maps in {key} are damaged: {error}") from None
    return found
