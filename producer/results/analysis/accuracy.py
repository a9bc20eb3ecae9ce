"""Was the network right? Counted image by image while results are read; nothing is kept of the images themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from producer.results.records import records
from shared.contract import (
    Calibration,
    CalibrationBin,
    ClassAccuracy,
    ClassHeat,
    Cluster,
    Confusion,
    ImageRecord,
    ImageState,
    JobSummary,
    Options,
    Outputs,
    TruthRecord,
)

if TYPE_CHECKING:
    from producer.results.analysis.heat import Heat
    from shared.ledger import RedisLedger
    from shared.storage.port import ObjectStore

#: As in the paper that made the measure known.
BINS = 15
#: Different pairs of classes that are counted; beyond, the rarest are forgotten.
MOST_PAIRS = 100_000
#: Pairs in the answer.
MOST_CONFUSIONS = 100


class Analysis(NamedTuple):
    """A job's summary, and how much heat of each image lies on its border (`Heat.border`), empty without maps."""

    summary: JobSummary
    border: bytes


def summarise_job(
    ledger: RedisLedger,
    store: ObjectStore,
    job: str,
    *,
    threads: int = 8,
    progress: Callable[[], object] = lambda: None,
    notice: Callable[[str], object] = lambda _: None,
) -> JobSummary:
    """The summary of a job, whose results are read once; of one that still runs, of its results so far.

    `notice` is called with what is left out. Raises UnknownJobError for a job that is not there, CamqError for damaged
    maps.
    """
    return analyse(ledger, store, job, threads=threads, progress=progress, notice=notice).summary


def analyse(
    ledger: RedisLedger,
    store: ObjectStore,
    job: str,
    *,
    threads: int = 8,
    progress: Callable[[], object] = lambda: None,
    notice: Callable[[str], object] = lambda _: None,
    skip_damaged: bool = False,
) -> Analysis:
    """The same with what a page shows beside it. With `skip_damaged` damaged maps leave out where the network looked,
    and `notice` is told."""
    status, options = ledger.status(job), ledger.options(job)
    card = ledger.card(status.model)
    tally = Tally(options, card.outputs if card else "softmax")
    for record in records(ledger, store, job, threads=threads):
        tally.add(record)
        progress()
    if not tally.with_truth and not options.keep_maps:
        return Analysis(tally.summary(job, status.model), b"")
    try:
        from producer.results.analysis.heat import Heat
        from producer.results.analysis.kept_maps import DamagedMapsError
    except ImportError:
        notice("where the network looked is left out: pip install numpy")
        return Analysis(tally.summary(job, status.model), b"")
    heat = Heat(tally.cells())
    try:
        heat.read(ledger, store, job, total=status.total, threads=threads)
    except DamagedMapsError as error:
        if not skip_damaged:
            raise
        notice(f"where the network looked is left out: {error}")
        return Analysis(tally.summary(job, status.model), b"")
    clusters: tuple[Cluster, ...] = ()
    try:
        clusters = heat.clusters(tally.labels)
    except ImportError:
        notice("clusters of maps are left out: pip install scipy")
    return Analysis(tally.summary(job, status.model, heat, clusters), bytes(heat.border))


class Tally:
    """Counts images. A class is known by its index; its label is that of the results."""

    def __init__(self, options: Options, outputs: Outputs) -> None:
        self._k = options.top_k
        self._several = outputs == "sigmoid"
        #: Images with an answer and ground truth.
        self.with_truth = 0
        self._images = self._failed = self._right = self._among_best = 0
        #: The names of classes that results have.
        self.labels: dict[int, str] = {}
        self._support, self._predicted, self._hits = Counter[int](), Counter[int](), Counter[int]()
        self._pairs = Counter[tuple[int | None, int | None]]()
        #: Images, probabilities and correct answers of each bin.
        self._bins = [[0, 0.0, 0] for _ in range(BINS)]

    def add(self, record: ImageRecord) -> None:
        """One image's result."""
        self._images += 1
        self._failed += record.state is ImageState.FAILED
        truth = record.truth
        if record.state is not ImageState.SUCCEEDED or not truth or truth.label is None or truth.correct is None:
            return
        self.with_truth += 1
        true = self._true(truth)
        predicted = {each.class_index for each in truth.predicted}
        self.labels |= {each.class_index: each.label for each in truth.predicted}
        self._right += truth.correct
        self._support.update(true.keys())
        self._predicted.update(predicted)
        self._hits.update(predicted & true.keys())
        self._confuse(true.keys() - predicted, predicted - true.keys())
        if not self._several:
            self._among_best += min(true.values(), default=self._k + 1) <= self._k
            for best in truth.predicted[:1]:
                self._weigh(best.probability, correct=best.class_index in true)

    def cells(self) -> list[tuple[int, int]]:
        """The most frequent confusions: the true and the predicted class of each."""
        most = sorted(self._pairs.items(), key=_by_count)[:MOST_CONFUSIONS]
        return [(true, predicted) for (true, predicted), _ in most if true is not None and predicted is not None]

    def summary(self, job: str, model: str, heat: Heat | None = None, clusters: tuple[Cluster, ...] = ()) -> JobSummary:
        """Of the images so far."""
        count = self.with_truth
        heats = heat.classes() if heat else {}
        return JobSummary(
            job=job,
            model=model,
            images=self._images,
            failed=self._failed,
            with_truth=count,
            maps=heat.images if heat else 0,
            k=self._k,
            top1=self._right / count if count else None,
            top_k=self._among_best / count if count and not self._several else None,
            classes=tuple(
                self._class(index, heats.get(index)) for index in sorted(self._support.keys() | self._predicted.keys())
            ),
            confusions=tuple(
                self._confusion(true, predicted, images, heat)
                for (true, predicted), images in sorted(self._pairs.items(), key=_by_count)[:MOST_CONFUSIONS]
            ),
            calibration=None if self._several or not count else self._calibration(),
            suspects=heat.suspects(self.labels) if heat else (),
            clusters=clusters,
        )

    def _confusion(self, true: int | None, predicted: int | None, images: int, heat: Heat | None) -> Confusion:
        predicted_heat, truth_heat = heat.cell(true, predicted) if heat else (None, None)
        return Confusion(
            truth=self._label(true),
            predicted=self._label(predicted),
            count=images,
            heat=predicted_heat,
            truth_heat=truth_heat,
        )

    def _true(self, truth: TruthRecord) -> dict[int, int]:
        """The rank of each true class by its index."""
        if isinstance(truth.class_index, tuple) and isinstance(truth.rank, tuple) and isinstance(truth.label, tuple):
            self.labels |= zip(truth.class_index, truth.label, strict=False)
            return dict(zip(truth.class_index, truth.rank, strict=False))
        if isinstance(truth.class_index, int) and isinstance(truth.rank, int) and isinstance(truth.label, str):
            self.labels[truth.class_index] = truth.label
            return {truth.class_index: truth.rank}
        return {}

    def _confuse(self, missed: set[int], wrong: set[int]) -> None:
        """Each true class that was not found with each that was found instead."""
        if missed or wrong:
            self._pairs.update(product(missed or (None,), wrong or (None,)))
        if len(self._pairs) > MOST_PAIRS:
            self._pairs = Counter(dict(sorted(self._pairs.items(), key=_by_count)[: MOST_PAIRS // 2]))

    def _weigh(self, probability: float, *, correct: bool) -> None:
        probability = min(1.0, max(0.0, probability))  # as a record in storage has it
        found = self._bins[max(1, ceil(probability * BINS)) - 1]
        found[0] += 1
        found[1] += probability
        found[2] += correct

    def _class(self, index: int, heat: ClassHeat | None) -> ClassAccuracy:
        support, predicted, correct = (each[index] for each in (self._support, self._predicted, self._hits))
        return ClassAccuracy(
            label=self._label(index) or "",
            class_index=index,
            support=support,
            predicted=predicted,
            correct=correct,
            precision=correct / predicted if predicted else None,
            recall=correct / support if support else None,
            heat=heat,
        )

    def _label(self, index: int | None) -> str | None:
        """A record in storage may have fewer labels than classes."""
        return None if index is None else self.labels.get(index, str(index))

    def _calibration(self) -> Calibration:
        bins = tuple(
            CalibrationBin(
                low=number / BINS,
                high=(number + 1) / BINS,
                images=int(images),
                confidence=total / images if images else None,
                accuracy=correct / images if images else None,
            )
            for number, (images, total, correct) in enumerate(self._bins)
        )
        distance = sum(abs(correct - total) for _, total, correct in self._bins)
        return Calibration(ece=distance / max(1, sum(images for images, _, _ in self._bins)), bins=bins)


def _by_count(pair: tuple[tuple[int | None, int | None], int]) -> tuple[int, int, int]:
    (true, predicted), images = pair
    return -images, -1 if true is None else true, -1 if predicted is None else predicted
