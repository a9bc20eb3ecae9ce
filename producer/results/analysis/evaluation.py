"""How faithful the maps of a job's methods are: the images' numbers taken together, each with its interval."""

from __future__ import annotations

import math
import random
from array import array
from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec

from producer.formatting import count
from producer.results.records import records
from shared.contract import EvaluationRecord, ImageRecord

if TYPE_CHECKING:
    from producer.services import Services

#: Of 100 jobs with other pictures of the same kind, so many would have a mean within its interval.
CONFIDENCE = 0.95
#: Samples drawn with replacement from the images' numbers.
RESAMPLES = 1000
#: Of more images the mean of a sample is normally distributed, and drawing samples would only take longer.
MOST_RESAMPLED = 1000
#: Of a map's box with one that is right: intersection over union.
ENOUGH_OVERLAP = 0.5


class Estimate(msgspec.Struct, frozen=True):
    """The mean over the images, and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


class MethodEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One method's numbers, as `camq evaluate --json` prints them; None where no image has any.

    `average_drop` to `road_lerf` are as in `EvaluationRecord`; `average_increase` and `pointing` are shares of the
    images. `max_box_acc` is the share of the images with a box that the map's box overlaps by at least half, at the
    threshold that is best for all of them together.
    """

    method: str
    images: int
    average_drop: Estimate | None
    average_increase: Estimate | None
    deletion: Estimate | None
    insertion: Estimate | None
    road: Estimate | None
    road_morf: Estimate | None
    road_lerf: Estimate | None
    pointing: Estimate | None
    max_box_acc: Estimate | None
    sparsity: Estimate | None
    complexity: Estimate | None
    seconds_per_image: Estimate | None


#: Numbers that an image's record has as they are: their names there, and taken together.
_PLAIN = {
    "drop": "average_drop",
    "increase": "average_increase",
    "deletion": "deletion",
    "insertion": "insertion",
    "road": "road",
    "road_morf": "road_morf",
    "road_lerf": "road_lerf",
    "sparsity": "sparsity",
    "complexity": "complexity",
    "seconds": "seconds_per_image",
}


class Evaluation:
    """Takes a job's records one by one. In memory it has about 200 bytes for each method of each image."""

    def __init__(self) -> None:
        self._methods: dict[str, _Numbers] = {}

    def add(self, record: ImageRecord) -> None:
        """What a worker found of one image; nothing, if it found nothing."""
        for found in record.evaluation or ():
            self._methods.setdefault(found.method, _Numbers()).add(found)

    @property
    def methods(self) -> list[MethodEvaluation]:
        """In the order in which they were asked for."""
        return [numbers.together(method) for method, numbers in self._methods.items()]

    @property
    def sentence(self) -> str:
        """Which method's maps keep most of the score, and which differences are noise; empty without any image."""
        drops = {method: numbers.of["average_drop"] for method, numbers in self._methods.items()}
        ranked = sorted(drops, key=lambda method: sum(drops[method]) / len(drops[method]))
        if not ranked:
            return ""
        best, worst = ranked[0], ranked[-1]
        on = f"on {'this' if len(drops[best]) == 1 else 'these'} {count(len(drops[best]), 'picture')}"
        if best == worst:
            return f"{on} the maps of {best} keep {1 - sum(drops[best]) / len(drops[best]):.0%} of the score"
        alike = 1
        while alike < len(ranked) and _is_noise(drops[best], drops[ranked[alike]]):
            alike += 1
        said = f"{on} {best} keeps most of the score and {worst} least"
        if alike == len(ranked):
            return f"{said}; the differences are within noise"
        if alike == 1:
            return f"{said}; {best} differs from all others by more than noise"
        which = "difference between the first two is" if alike == 2 else f"differences between the first {alike} are"
        return f"{said}; the {which} within noise ({', '.join(ranked[:alike])})"


def evaluated(services: Services, job: str) -> Evaluation:
    """What the workers found of the job's images so far."""
    found = Evaluation()
    for record in records(services.ledger, services.store, job, threads=services.settings.io_threads):
        found.add(record)
    return found


class _Numbers:
    """Of one method: the images' numbers, in the order of the images."""

    def __init__(self) -> None:
        self.of: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        #: For each threshold, whether the box of each image overlaps enough there.
        self._hits: list[array[float]] = []

    def add(self, found: EvaluationRecord) -> None:
        for name, together in _PLAIN.items():
            self.of[together].append(getattr(found, name))
        if found.pointing is not None:
            self.of["pointing"].append(found.pointing)
        if found.overlaps:
            self._hits = self._hits or [array("d") for _ in found.overlaps]
            for hits, overlap in zip(self._hits, found.overlaps, strict=False):
                hits.append(overlap >= ENOUGH_OVERLAP)

    def together(self, method: str) -> MethodEvaluation:
        best = max(self._hits, key=sum, default=array("d"))
        names = (*_PLAIN.values(), "pointing")
        return MethodEvaluation(
            method=method,
            images=len(self.of["average_drop"]),
            max_box_acc=estimate(best),
            **{name: estimate(self.of[name]) for name in names},
        )


def estimate(values: Sequence[float]) -> Estimate | None:
    """The mean, and where the means of samples of the values lie (percentile bootstrap, always the same samples)."""
    size = len(values)
    if not size:
        return None
    mean = math.fsum(values) / size
    if size > MOST_RESAMPLED:
        error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (size - 1) / size)
        reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * error
        return Estimate(mean, mean - reach, mean + reach)
    draw = random.Random(0).choices  # noqa: S311 - no secret depends on it
    means = sorted(sum(draw(values, k=size)) / size for _ in range(RESAMPLES))
    outside = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return Estimate(mean, min(mean, means[outside]), max(mean, means[-1 - outside]))


def _is_noise(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the differences of the same images' numbers may well have a mean of zero."""
    found = estimate([first - second for first, second in zip(one, other, strict=False)])
    return found is None or found.low <= 0 <= found.high
