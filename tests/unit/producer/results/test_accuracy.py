"""The summary of a job: counted by hand, and against scikit-learn."""

import gc
import io
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from producer.results.analysis import accuracy
from producer.results.analysis.accuracy import BINS, Tally, analyse, summarise_job
from shared.contract import (
    CalibrationBin,
    ClassAccuracy,
    Confusion,
    ErrorInfo,
    ImageRecord,
    ImageState,
    JobSummary,
    Options,
    Outputs,
    PredictedClass,
    PredictionRecord,
    TruthRecord,
    encode_lines,
)
from shared.errors import CamqError
from shared.ledger.values import Done, NewChunk, Snapshot

LABELS = ("cat", "dog", "fox")


def named(index: int, probability: float = 0.5) -> PredictedClass:
    label = LABELS[index] if index < len(LABELS) else f"c{index}"
    return PredictedClass(class_index=index, label=label, probability=probability)


def single(true: int, predicted: int, probability: float, rank: int | None = None) -> ImageRecord:
    rank = rank or (1 if true == predicted else 2)
    truth = TruthRecord(
        label=named(true).label,
        class_index=true,
        rank=rank,
        probability=0.1,
        correct=true == predicted,
        predicted=(named(predicted, probability),),
    )
    return ImageRecord(index=0, source="a", state=ImageState.SUCCEEDED, truth=truth)


def several(true: set[int], predicted: set[int]) -> ImageRecord:
    ordered = sorted(true)
    truth = TruthRecord(
        label=tuple(named(c).label for c in ordered),
        class_index=tuple(ordered),
        rank=tuple(range(1, len(ordered) + 1)),
        probability=tuple(0.5 for _ in ordered),
        correct=true == predicted,
        predicted=tuple(map(named, sorted(predicted))),
    )
    return ImageRecord(index=0, source="a", state=ImageState.SUCCEEDED, truth=truth)


def summary(records: list[ImageRecord] | Iterator[ImageRecord], outputs: Outputs = "softmax", k: int = 3) -> JobSummary:
    tally = Tally(Options(top_k=k), outputs)
    for record in records:
        tally.add(record)
    return tally.summary("job", "net@0123456789ab")


def test_a_job_counted_by_hand() -> None:
    """Five answers, one failure, one without ground truth."""
    found = summary(
        [
            single(0, 0, 0.9),
            single(0, 0, 0.8),
            single(0, 1, 0.6, rank=2),
            single(1, 1, 0.7),
            single(2, 1, 0.62, rank=3),
            ImageRecord(index=5, source="b", state=ImageState.FAILED, error=ErrorInfo("empty", "no bytes")),
            ImageRecord(index=6, source="c", state=ImageState.SUCCEEDED),
        ],
        k=2,
    )

    assert (found.images, found.failed, found.with_truth, found.k) == (7, 1, 5, 2)
    assert (found.top1, found.top_k) == (3 / 5, 4 / 5)
    assert found.classes == (
        ClassAccuracy(label="cat", class_index=0, support=3, predicted=2, correct=2, precision=1.0, recall=2 / 3),
        ClassAccuracy(label="dog", class_index=1, support=1, predicted=3, correct=1, precision=1 / 3, recall=1.0),
        ClassAccuracy(label="fox", class_index=2, support=1, predicted=0, correct=0, precision=None, recall=0.0),
    )
    assert found.confusions == (
        Confusion(truth="cat", predicted="dog", count=1),
        Confusion(truth="fox", predicted="dog", count=1),
    )
    assert found.calibration is not None
    # Bins of 1/15: 0.6 is the upper edge of the ninth, 0.62 in the tenth, 0.7 in the eleventh, 0.8 the edge of the
    # twelfth, 0.9 in the fourteenth.
    assert [each.images for each in found.calibration.bins] == [0] * 8 + [1, 1, 1, 1, 0, 1, 0]
    assert found.calibration.ece == pytest.approx((0.6 + 0.62 + 0.3 + 0.2 + 0.1) / 5)
    low, high = 9 / BINS, 10 / BINS
    assert found.calibration.bins[9] == CalibrationBin(low=low, high=high, images=1, confidence=0.62, accuracy=0.0)
    assert found.calibration.bins[0].confidence is None


def test_a_job_without_ground_truth_has_no_numbers() -> None:
    """Nothing is divided by zero, and null is not zero."""
    found = summary([ImageRecord(index=0, source="c", state=ImageState.SUCCEEDED)])

    assert (found.images, found.with_truth, found.top1, found.top_k, found.calibration) == (1, 0, None, None, None)
    assert (found.classes, found.confusions) == ((), ())


def test_several_labels_at_once_counted_by_hand() -> None:
    """What was missed is paired with what was found instead; null stands for nothing."""
    found = summary([several({0, 1}, {0, 2}), several({1}, set()), several(set(), {2}), several({2}, {2})], "sigmoid")

    assert (found.top1, found.top_k, found.calibration) == (1 / 4, None, None)
    assert found.confusions == (
        Confusion(truth=None, predicted="fox", count=1),
        Confusion(truth="dog", predicted=None, count=1),
        Confusion(truth="dog", predicted="fox", count=1),
    )
    assert [(each.label, each.support, each.precision, each.recall) for each in found.classes] == [
        ("cat", 1, 1.0, 1.0),
        ("dog", 2, None, 0.0),
        ("fox", 1, 1 / 3, 1.0),
    ]


@pytest.mark.slow  # the import alone takes seconds
def test_precision_and_recall_are_those_of_scikit_learn() -> None:
    """Of random answers, single and several; the calibration error is that of the formula over sorted bins."""
    from sklearn.metrics import precision_recall_fscore_support

    generator = np.random.default_rng(0)
    true, predicted = generator.integers(0, 12, 3000), generator.integers(0, 12, 3000)
    predicted[::2] = true[::2]
    shares = generator.random(3000)

    found = summary([single(int(t), int(p), float(s)) for t, p, s in zip(true, predicted, shares, strict=True)])

    precision, recall, _, support = precision_recall_fscore_support(true, predicted, labels=range(12))
    np.testing.assert_allclose([each.precision for each in found.classes], precision)
    np.testing.assert_allclose([each.recall for each in found.classes], recall)
    assert [each.support for each in found.classes] == support.tolist()
    edges = np.linspace(0, 1, BINS + 1)
    inside = [(shares > low) & (shares <= high) for low, high in pairwise(edges)]
    right = true == predicted
    ece = sum(abs(right[b].mean() - shares[b].mean()) * b.mean() for b in inside if b.any())
    assert found.calibration is not None
    assert found.calibration.ece == pytest.approx(ece)

    truth, answer = generator.random((2000, 6)) < 0.3, generator.random((2000, 6)) < 0.4
    sets = [
        (set(np.flatnonzero(t).tolist()), set(np.flatnonzero(a).tolist())) for t, a in zip(truth, answer, strict=True)
    ]
    found = summary([several(*pair) for pair in sets], "sigmoid")
    precision, recall, _, support = precision_recall_fscore_support(truth, answer)
    np.testing.assert_allclose([each.precision for each in found.classes], precision)
    np.testing.assert_allclose([each.recall for each in found.classes], recall)
    assert found.top1 == pytest.approx((truth == answer).all(axis=1).mean())


def test_rare_pairs_are_forgotten_before_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that matter are not."""
    monkeypatch.setattr(accuracy, "MOST_PAIRS", 50)
    often = [single(0, 1, 0.5)] * 30
    rare = [single(2 + number, 100 + number, 0.5) for number in range(400)]

    found = summary([*often, *rare[:200], *often, *rare[200:]])

    assert found.confusions[0] == Confusion(truth="cat", predicted="dog", count=60)
    assert len(found.confusions) <= 50


class MadeJob:
    """A declared test adapter, ledger and store of a job whose results objects are made when they are read."""

    CHUNK = 200

    def __init__(self, images: int) -> None:
        self.images = images

    def status(self, _job: str) -> Any:
        return SimpleNamespace(model="net@0123456789ab", total=self.images)

    def card(self, _model: str) -> None:
        return None

    def options(self, _job: str) -> Options:
        return Options()

    def snapshot(self, _job: str) -> Snapshot:
        chunks = range(self.images // self.CHUNK)
        return Snapshot(
            name=None,
            tags=(),
            options=Options(),
            total=self.images,
            states=[ImageState.SUCCEEDED] * self.images,
            failures={},
            done=self.done(_job),
            submitted=[NewChunk(f"{n:06d}", n * self.CHUNK, self.CHUNK, "") for n in chunks],
        )

    def done(self, _job: str) -> list[Done]:
        return [Done(f"{n:06d}", 1, n * self.CHUNK, self.CHUNK) for n in range(self.images // self.CHUNK)]

    def maps(self, chunk: int, random: Random) -> bytes:
        true = np.array([random.randrange(1000) for _ in range(self.CHUNK)])
        buffer = io.BytesIO()
        np.savez(
            buffer,
            image=chunk * self.CHUNK + np.arange(self.CHUNK),
            class_index=true,
            rank=np.ones_like(true),
            probability=np.full(self.CHUNK, 0.5, np.float32),
            truth=true,
            size=np.full((self.CHUNK, 2), 8),
            seen=np.zeros((self.CHUNK, 4), np.float32),
            maps=np.random.default_rng(chunk).random((self.CHUNK, 7, 7)).astype(np.float16),
            boxes=np.zeros((0, 5), np.int64),
        )
        return buffer.getvalue()

    def get(self, key: str, max_bytes: int) -> bytes:
        chunk = int(key.rpartition("/")[2].partition("-")[0])
        random = Random(chunk)
        if key.endswith(".npz"):
            return self.maps(chunk, random)
        lines = []
        for number in range(self.CHUNK):
            true = random.randrange(1000)
            made = single(true, (true + 1) % 1000 if true % 3 else true, random.random())
            prediction = PredictionRecord(
                rank=1, class_index=true, label=f"c{true}", probability=0.5, overlay="", box=(0, 0, 8, 6),
                map_min=0.0, map_max=1.0, flat=False,
            )  # fmt: skip
            index = chunk * self.CHUNK + number
            lines.append(replace(made, index=index, source=f"photos/{index:08d}.jpg", predictions=(prediction,) * 3))
        return encode_lines(lines)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_job() -> None:
    """Of a hundred thousand results of a thousand classes a few chunks are in memory, the state of each image, the
    counts of classes and pairs, sums of maps of each class, and a sample of maps that has an end."""
    images = 100_000
    made: Any = MadeJob(images)
    written = len(made.get("000000-1", 0)) * (made.images // MadeJob.CHUNK)
    gc.collect()
    tracemalloc.start()

    found = summarise_job(made, made, "job", threads=2)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.images, found.with_truth, found.maps, len(found.classes)) == (images, images, images, 1000)
    assert written > 600 * images
    assert peak < 45_000_000


def test_damaged_maps_are_an_error_or_left_out() -> None:
    """A page shows the rest and says what is missing; the summary that a program asks for does not come without."""
    made: Any = MadeJob(MadeJob.CHUNK)
    made.maps = lambda *_: b"no zip"
    told: list[str] = []

    with pytest.raises(CamqError, match=r"the maps in jobs/job/results/000000-1\.npz are damaged"):
        summarise_job(made, made, "job")
    found = analyse(made, made, "job", notice=told.append, skip_damaged=True)

    assert (found.summary.with_truth, found.summary.maps, found.border) == (MadeJob.CHUNK, 0, b"")
    assert "where the network looked is left out: the maps in jobs/job/results/000000-1.npz are damaged" in told[0]


def test_a_record_that_somebody_wrote_over_is_counted_and_ends_nothing() -> None:
    """Results lie in a bucket: probabilities beyond any, fewer labels than classes."""
    tally = Tally(Options(), "softmax")
    tally.add(single(0, 1, 1e308))
    tally.add(single(0, 1, -3.0))
    several = TruthRecord(
        label=("cat",), class_index=(0, 9), rank=(1, 2), probability=(0.5, 0.5), correct=False, predicted=(named(0),)
    )
    tally.add(replace(single(0, 0, 0.5), truth=several))

    found = tally.summary("job", "net@0123456789ab")

    assert [each.label for each in found.classes] == ["cat", "dog", "9"]
    assert found.calibration is not None
    assert [each.images for each in found.calibration.bins if each.images] == [1, 1, 1]
