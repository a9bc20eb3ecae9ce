"""Two jobs of the same pictures beside each other: before and after retraining, or two methods.

Classes are compared by their labels, for two networks may number them differently. Maps are compared by Spearman's rank
correlation over their cells: methods scale their maps differently, and what matters is where a map is higher.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from producer.parallel import ordered
from producer.results.objects import Prediction
from producer.results.originals import references
from producer.results.records import records
from shared.contract import ImageRecord, ImageRef, ImageState, Options, PredictionRecord, differing
from shared.errors import UsageError

if TYPE_CHECKING:
    from numpy import float32, float64
    from numpy.typing import NDArray

    from producer.services import Services
    from shared.storage.port import ObjectStore

#: Confusions that are listed: the most frequent ones.
MOST_CHANGES = 20


class Side(msgspec.Struct, frozen=True):
    """One of the two jobs."""

    job: str
    name: str | None
    model: str
    method: str


class Answer(msgspec.Struct, frozen=True):
    """What one job says of a picture: its best class of those that were explained, None where there is none."""

    index: int
    label: str | None
    probability: float | None
    overlay: str | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One picture in both jobs. `map_correlation` is None where no maps of one class were kept by both."""

    source: str
    left: Answer
    right: Answer
    same_class: bool
    map_correlation: float | None
    #: The class whose maps were compared.
    map_label: str | None
    #: Where the picture's bytes are.
    key: str
    #: The page or frame of that file, counted from 1.
    page: int


class Change(msgspec.Struct, frozen=True):
    """So many pictures have one class in one job and the other in the other."""

    left: str | None
    right: str | None
    images: int


class Differing(msgspec.Struct, frozen=True):
    """An option that the jobs were submitted with, in words."""

    option: str
    left: str
    right: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What two jobs of the same pictures say differently."""

    left: Side
    right: Side
    #: The other options in which they differ.
    options: tuple[Differing, ...]
    #: Pictures that both jobs explained, and of those, the ones with the same best class.
    compared: int
    same_class: int
    #: Pictures that only one job has, or only one explained.
    only_left: int
    only_right: int
    #: Pictures whose maps were compared, and the mean of their correlations; None without any.
    maps_compared: int
    map_correlation: float | None
    changes: tuple[Change, ...]
    #: The most different pictures first.
    pictures: tuple[Difference, ...]


def compare(
    services: Services, left: str, right: str, *, most: int, progress: Callable[[], object] = lambda: None
) -> Comparison:
    """Compare two jobs; `most` pictures are listed: those with another class first, then those with other maps.

    Raises UnknownJobError, and UsageError when both jobs explained no picture in common.
    """
    ledger, threads = services.ledger, services.settings.io_threads
    options = ledger.options(left), ledger.options(right)
    sides = _side(services, left, options[0]), _side(services, right, options[1])
    has_maps = all(each.keep_maps for each in options)

    def look(pair: _Pair) -> Difference:
        return _difference(*pair, services.store if has_maps else None)

    matched, tally = _Matched(_explained(services, left), _explained(services, right)), _Tally(most)
    for found in ordered(look, matched, threads=threads):
        tally.add(found)
        progress()
    if not tally.compared:
        raise UsageError(
            f"jobs {left} and {right} have no explained picture in common: compare jobs of the same pictures"
        )
    return Comparison(
        left=sides[0],
        right=sides[1],
        options=tuple(Differing(*found) for found in differing(*options) if found[0] != "method"),
        compared=tally.compared,
        same_class=tally.same_class,
        only_left=matched.alone[0],
        only_right=matched.alone[1],
        maps_compared=tally.maps,
        map_correlation=tally.correlations / tally.maps if tally.maps else None,
        changes=tuple(Change(*labels, images) for labels, images in tally.changes.most_common(MOST_CHANGES)),
        pictures=tally.most_different(),
    )


def rank_correlation(left: NDArray[float32], right: NDArray[float32]) -> float | None:
    """Spearman's: Pearson's correlation of the cells' ranks, equal cells sharing the mean of theirs.

    Maps (h, w) of two sizes are compared at the larger height and width, enlarged bilinearly. None if one is constant.
    """
    import numpy as np
    from PIL import Image

    height, width = (max(sizes) for sizes in zip(left.shape, right.shape, strict=True))

    def ranks(values: NDArray[float32]) -> NDArray[float64]:
        if values.shape != (height, width):
            values = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[place].ravel()

    first, second = ranks(left), ranks(right)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


class _Seen(NamedTuple):
    """A picture that a job explained."""

    reference: ImageRef
    record: ImageRecord

    @property
    def content(self) -> _Content:
        """The same for the same picture in any job: inputs are named by what is in them."""
        return self.reference.key or self.reference.source, self.reference.page or 1


_Content = tuple[str, int]
_Pair = tuple[_Seen, _Seen]


def _side(services: Services, job: str, options: Options) -> Side:
    status = services.ledger.status(job)
    return Side(job, status.name, status.model, options.method)


def _explained(services: Services, job: str) -> Iterator[_Seen]:
    ledger, store, threads = services.ledger, services.store, services.settings.io_threads
    both = zip(
        references(ledger, store, job, threads=threads),
        records(ledger, store, job, threads=threads),
        strict=False,  # while a job is being submitted, the second look may see one chunk more
    )
    return (_Seen(*each) for each in both if each[1].state is ImageState.SUCCEEDED)


class _Matched:
    """The pictures of two jobs in pairs. Those of one folder come in one order, and then nothing has to be kept."""

    def __init__(self, left: Iterable[_Seen], right: Iterable[_Seen]) -> None:
        self._jobs = left, right
        #: How many only the left job explained, and only the right one; known at the end.
        self.alone = (0, 0)

    def __iter__(self) -> Iterator[_Pair]:
        lefts: defaultdict[_Content, deque[_Seen]] = defaultdict(deque)
        rights: defaultdict[_Content, deque[_Seen]] = defaultdict(deque)
        for left, right in zip_longest(*self._jobs):
            if left and right and left.content == right.content:
                yield left, right
                continue
            if left and (partner := _taken(rights, left.content)):
                yield left, partner
            elif left:
                lefts[left.content].append(left)
            if right and (partner := _taken(lefts, right.content)):
                yield partner, right
            elif right:
                rights[right.content].append(right)
        self.alone = sum(map(len, lefts.values())), sum(map(len, rights.values()))


def _taken(waiting: dict[_Content, deque[_Seen]], content: _Content) -> _Seen | None:
    return waiting[content].popleft() if waiting.get(content) else None


def _difference(left: _Seen, right: _Seen, store: ObjectStore | None) -> Difference:
    best = [_best(seen.record) for seen in (left, right)]
    correlation = label = None
    if store and (shared := _of_one_class(left.record, right.record)):
        label = shared[0].label
        correlation = rank_correlation(*(Prediction.of(line, store).map() for line in shared))
    return Difference(
        source=left.record.source,
        key=left.reference.key,
        page=left.reference.page or 1,
        left=_answer(left.record, best[0]),
        right=_answer(right.record, best[1]),
        same_class=(best[0] and best[0].label) == (best[1] and best[1].label),
        map_correlation=correlation,
        map_label=label,
    )


def _best(record: ImageRecord) -> PredictionRecord | None:
    return min(record.predictions, key=lambda line: line.rank, default=None)


def _of_one_class(left: ImageRecord, right: ImageRecord) -> tuple[PredictionRecord, PredictionRecord] | None:
    """The left job's best class that both explained and drew, for no other map is kept. Classes may share a label."""
    lines, others = (
        sorted((line for line in record.predictions if line.overlay), key=lambda line: line.rank)
        for record in (left, right)
    )
    best = {line.label: line for line in reversed(others)}
    return next(((line, best[line.label]) for line in lines if line.label in best), None)


def _answer(record: ImageRecord, best: PredictionRecord | None) -> Answer:
    if best is None:
        return Answer(record.index, None, None, None)
    return Answer(record.index, best.label, best.probability, best.overlay)


class _Tally:
    """Counts differences, and keeps the largest ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._largest: list[tuple[tuple[bool, float, float], int, Difference]] = []
        self.compared = self.same_class = self.maps = 0
        self.correlations = 0.0
        self.changes: Counter[tuple[str | None, str | None]] = Counter()

    def add(self, found: Difference) -> None:
        """Take one picture into account."""
        self.compared += 1
        if found.same_class:
            self.same_class += 1
        else:
            self.changes[found.left.label, found.right.label] += 1
        if found.map_correlation is not None:
            self.maps += 1
            self.correlations += found.map_correlation
        # Of equally different ones the first stay.
        entry = _order(found), -self.compared, found
        if len(self._largest) < self._most:
            heapq.heappush(self._largest, entry)
        else:
            heapq.heappushpop(self._largest, entry)

    def most_different(self) -> tuple[Difference, ...]:
        """The most different one first."""
        return tuple(found for _, _, found in sorted(self._largest, reverse=True))


def _order(found: Difference) -> tuple[bool, float, float]:
    apart = 0.0 if found.map_correlation is None else 1 - found.map_correlation
    return not found.same_class, apart, abs((found.left.probability or 0) - (found.right.probability or 0))
