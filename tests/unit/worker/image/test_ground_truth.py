"""What the user says of an image: its own options, the comparison, and whether it is drawn."""

from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from shared.contract import ImageRef, Options, PredictedClass, TruthRecord
from shared.errors import ImageError
from worker.core.types import ClassMap, Explanation, ImageOptions, Judgement, Standing
from worker.image.ground_truth import compared, drawn, options_of

LABELS = ("cat", "dog", "fox", "elk")


def explanation(*, true: tuple[int, ...] | None, predicted: tuple[int, ...], best: float = 0.7) -> Explanation:
    """Of an image whose best class is the first predicted; classes stand in the order of their indices."""

    def standing(index: int) -> Standing:
        return Standing(index, index + 1, 0.1)

    first = ClassMap(1, predicted[0] if predicted else 0, 2.0, best, np.zeros((1, 1), np.float32))
    judgement = None if true is None else Judgement(tuple(map(standing, true)), tuple(map(standing, predicted)))
    return Explanation((first,), "cam", judgement)


def test_an_image_of_which_nothing_was_said_has_the_options_of_its_job() -> None:
    """The same object, so that a micro-batch groups as before."""
    options = Options(top_k=2)

    assert options_of(ImageRef(index=0), options) is options


def test_what_was_said_of_one_image_is_its_own() -> None:
    """Its classes take the place of all other choices of the job."""
    options = Options(min_probability=0.4, alpha=0.3)

    own = options_of(ImageRef(index=0, classes=(3, 1), truth=2), options)

    assert isinstance(own, ImageOptions)
    assert (own.classes, own.min_probability, own.truth, own.alpha) == ((3, 1), UNSET, (2,), 0.3)
    assert options_of(ImageRef(index=0, truth=()), options).truth == ()  # type: ignore[attr-defined]


def test_one_label_is_compared_as_a_value_and_several_as_lists() -> None:
    """As the user gave them."""
    one = compared(ImageRef(index=0, truth=2), explanation(true=(2,), predicted=(1,)), LABELS)
    several = compared(ImageRef(index=0, truth=(2, 1)), explanation(true=(2, 1), predicted=(1, 2)), LABELS)
    none = compared(ImageRef(index=0, truth=()), explanation(true=(), predicted=()), LABELS)

    assert one == TruthRecord(
        label="fox", class_index=2, rank=3, probability=0.1, correct=False,
        predicted=(PredictedClass(class_index=1, label="dog", probability=0.1),),
    )  # fmt: skip
    assert isinstance(several, TruthRecord)
    assert (several.label, several.rank, several.correct) == (("fox", "dog"), (3, 2), True)
    assert isinstance(none, TruthRecord)
    assert (none.label, none.correct) == ((), True)


def test_a_box_without_a_label_is_carried() -> None:
    """And nothing is carried where nothing was said."""
    boxes = ((0, 0, 4, 4),)

    assert compared(ImageRef(index=0, boxes=boxes), explanation(true=None, predicted=(1,)), LABELS) == TruthRecord(
        boxes=boxes
    )
    assert compared(ImageRef(index=0), explanation(true=None, predicted=(1,)), LABELS) is UNSET


@pytest.mark.parametrize(
    ("only", "true", "predicted", "best", "wanted"),
    [
        (UNSET, None, (1,), 0.7, True),
        ("wrong", (1,), (1,), 0.7, False),
        ("wrong", (2,), (1,), 0.7, True),
        ("wrong", None, (1,), 0.7, False),
        ("wrong", (), (), 0.2, False),
        ("label:2", (2,), (1,), 0.7, True),
        ("label:1", (2,), (1,), 0.7, True),
        ("label:3", (2,), (1,), 0.7, False),
        ("label:1", None, (1,), 0.7, True),
        ("below:0.7", None, (1,), 0.7, False),
        ("below:0.71", (1,), (1,), 0.7, True),
    ],
)
def test_a_job_draws_only_what_it_was_asked_for(
    only: Any, true: tuple[int, ...] | None, predicted: tuple[int, ...], best: float, wanted: bool
) -> None:
    """By ground truth, by class, by probability; what has no ground truth is not known to be wrong."""
    assert drawn(Options(only=only), explanation(true=true, predicted=predicted, best=best)) == wanted


@pytest.mark.parametrize("only", ["everything", "label:cat", "below:2"])
def test_a_wish_that_no_producer_checked_fails_the_image(only: str) -> None:
    """Options lie in Redis, where others may write."""
    with pytest.raises(ImageError, match="invalid only"):
        drawn(Options(only=only), explanation(true=None, predicted=(1,)))
