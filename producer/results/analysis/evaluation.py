"""How faithful the maps of a job's methods are: the images' numbers taken together, each with its interval."""

from __future__ import annotations

from array import array
from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from producer.formatting import count
from producer.results.analysis.estimates import Estimate, estimate, is_noise, normal
from producer.results.records import records
from shared.contract import EvaluationRecord, ImageRecord

if TYPE_CHECKING:
    from producer.services import Services

#: Of a map's box with one that is right: intersection over union.
ENOUGH_OVERLAP = 0.5


class Metric(NamedTuple):
    """What a number is called and says, for people."""

    name: str
    better: Literal["lower", "higher", ""]
    meaning: str

    @property
    def head(self) -> str:
        """The name with an arrow to the better side, as papers write it."""
        return f"{self.name} {_ARROWS[self.better]}".rstrip()


_ARROWS = {"lower": "↓", "higher": "↑", "": ""}
#: By their names in JSON.
METRICS = {
    "average_drop": Metric(
        "average drop", "lower", "share of the probability lost where only what the map calls hot is kept"
    ),
    "average_increase": Metric("average increase", "higher", "share of pictures in which the probability rose instead"),
    "deletion": Metric(
        "deletion AUC", "lower", "mean probability while pixels are taken away step by step, the hottest first"
    ),
    "insertion": Metric(
        "insertion AUC", "higher", "mean probability while they are put into a blurred picture, the hottest first"
    ),
    "road": Metric(
        "ROAD",
        "higher",
        "probability with the coldest pixels filled in from their neighbours, less that with the"
        " hottest filled in, halved",
    ),
    "pointing": Metric("pointing game", "higher", "share of pictures whose hottest pixel is in one of your boxes"),
    "max_box_acc": Metric("MaxBoxAcc", "higher", "share of pictures in which the map's box overlaps yours by half"),
    "sparsity": Metric("sparsity", "", "how few pixels hold the heat, from 0 to 1; says nothing of right or wrong"),
    "complexity": Metric("complexity", "", "over how many pixels the heat is spread; says nothing of right or wrong"),
}


class Curve(msgspec.Struct, frozen=True):
    """The mean probability at equal steps from no pixel to all, and its 95% confidence interval at each step."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class RandomisedStage(msgspec.Struct, frozen=True):
    """How alike maps still are to the real ones (rank correlation), with all layers from the top to `layer` random."""

    layer: str
    correlation: Estimate


class MethodEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One method's numbers, as `camq evaluate --json` prints them; None where no image has any.

    `average_drop` to `road_lerf` are as in `EvaluationRecord`; `average_increase` and `pointing` are shares of the
    images. `max_box_acc` is the share of the images with a box that the map's box overlaps by at least half, at the
    threshold that is best for all of them together. `randomisation` has the stages of that test, the topmost layer
    first; none where it was not asked for.
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
    deletion_curve: Curve | None
    insertion_curve: Curve | None
    randomisation: tuple[RandomisedStage, ...]


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
_CURVES = ("deletion_curve", "insertion_curve")


class Evaluation:
    """Takes a job's records one by one. In memory it has about 600 bytes for each method of each image."""

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
        """Which method's maps keep most of the score, which differences are noise, and whose maps depend least on what
        the network learned, where that was tested; empty without any image."""
        return "; ".join(filter(None, (self._kept, self._unlearned)))

    @property
    def _unlearned(self) -> str:
        """Of the last stage, in which all layers are random."""
        means = [(mean, name) for name, numbers in self._methods.items() if (mean := numbers.unlearned) is not None]
        if not means:
            return ""
        (low, least), (high, most) = min(means), max(means)
        if least == most:
            return f"with all layers random, its maps have a rank correlation of {low:.2f} with the real ones"
        return (
            f"with all layers random, maps of {least} are least like the real ones (rank correlation {low:.2f}) and"
            f" those of {most} most ({high:.2f})"
        )

    @property
    def _kept(self) -> str:
        drops = {method: numbers.of["average_drop"] for method, numbers in self._methods.items()}
        ranked = sorted(drops, key=lambda method: sum(drops[method]) / len(drops[method]))
        if not ranked:
            return ""
        best, worst = ranked[0], ranked[-1]
        on = f"on {'this' if len(drops[best]) == 1 else 'these'} {count(len(drops[best]), 'picture')}"
        if best == worst:
            return f"{on} the maps of {best} keep {1 - sum(drops[best]) / len(drops[best]):.0%} of the score"
        alike = 1
        while alike < len(ranked) and is_noise(drops[best], drops[ranked[alike]]):
            alike += 1
        if alike == len(ranked):
            return f"{on} the {alike} methods keep about the same share of the score: the differences are within noise"
        said = f"{on} {best} keeps most of the score and {worst} least"
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
        #: For each step of a curve, by its name; for each randomised layer.
        self._curves: dict[str, list[array[float]]] = {}
        self._stages: dict[str, array[float]] = {}

    def add(self, found: EvaluationRecord) -> None:
        for name, together in _PLAIN.items():
            self.of[together].append(getattr(found, name))
        if found.pointing is not None:
            self.of["pointing"].append(found.pointing)
        if found.overlaps:
            self._hits = self._hits or [array("d") for _ in found.overlaps]
            for hits, overlap in zip(self._hits, found.overlaps, strict=False):
                hits.append(overlap >= ENOUGH_OVERLAP)
        for name in _CURVES:
            points = getattr(found, name)
            if points and len(steps := self._curves.setdefault(name, [array("d") for _ in points])) == len(points):
                for step, point in zip(steps, points, strict=True):
                    step.append(point)
        for layer, correlation in found.randomisation:
            self._stages.setdefault(layer, array("d")).append(correlation)

    @property
    def unlearned(self) -> float | None:
        """The mean correlation of the last stage of the randomisation test."""
        last = next(reversed(self._stages.values()), None)
        return sum(last) / len(last) if last else None

    def together(self, method: str) -> MethodEvaluation:
        best = max(self._hits, key=sum, default=array("d"))
        names = (*_PLAIN.values(), "pointing")
        return MethodEvaluation(
            method=method,
            images=len(self.of["average_drop"]),
            max_box_acc=estimate(best),
            deletion_curve=_curve(self._curves.get("deletion_curve")),
            insertion_curve=_curve(self._curves.get("insertion_curve")),
            **{name: estimate(self.of[name]) for name in names},
            randomisation=tuple(
                RandomisedStage(layer, known) for layer, values in self._stages.items() if (known := estimate(values))
            ),
        )


def _curve(steps: list[array[float]] | None) -> Curve | None:
    """Its intervals are those of normal means: resampling every step would take most of the command's time."""
    if not steps:
        return None
    points = [normal(values) for values in steps]
    mean, low, high = (
        tuple(round(number, 4) for number in numbers)
        for numbers in zip(*((point.mean, point.low, point.high) for point in points), strict=True)
    )
    return Curve(mean, low, high)
