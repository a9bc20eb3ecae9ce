"""The images' numbers taken together: means, intervals, and the sentence that they amount to."""

import random
import statistics
from pathlib import Path

import pytest

from producer.results.analysis import estimates
from producer.results.analysis.estimates import estimate
from producer.results.analysis.evaluation import METRICS, Evaluation, MethodEvaluation
from shared.contract import EvaluationRecord, ImageRecord, ImageState


def of(method: str, drop: float, **numbers: object) -> EvaluationRecord:
    others = dict.fromkeys(
        ("deletion", "insertion", "road", "road_morf", "road_lerf", "sparsity", "complexity", "seconds"), 0.5
    )
    return EvaluationRecord(method=method, class_index=1, drop=drop, **{"increase": False, **others, **numbers})  # type: ignore[arg-type]


def evaluated(*images: tuple[EvaluationRecord, ...]) -> Evaluation:
    found = Evaluation()
    for index, records in enumerate(images):
        found.add(ImageRecord(index=index, source="a.png", state=ImageState.SUCCEEDED, evaluation=records))
    return found


def test_equal_numbers_leave_no_doubt_and_none_say_nothing() -> None:
    """An interval of one point; no estimate at all."""
    found = estimate([0.25] * 7)

    assert found is not None
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)
    assert estimate([]) is None


def test_an_interval_is_that_of_the_mean() -> None:
    """1.96 standard errors to each side, within what 1,000 samples leave to chance; the same each time."""
    numbers = [random.Random(n).gauss(3, 2) for n in range(400)]
    found = estimate(numbers)

    assert found is not None
    assert found == estimate(numbers)
    assert found.mean == pytest.approx(statistics.fmean(numbers))
    reach = 1.96 * statistics.stdev(numbers) / 20
    assert found.mean - found.low == pytest.approx(reach, rel=0.1)
    assert found.high - found.mean == pytest.approx(reach, rel=0.1)


def test_of_many_images_the_interval_is_the_same_without_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """To where samples cannot tell them apart."""
    numbers = [random.Random(n).random() ** 2 for n in range(1001)]
    quick = estimate(numbers)
    monkeypatch.setattr(estimates, "MOST_RESAMPLED", 2000)
    sampled = estimate(numbers)

    assert quick is not None
    assert sampled is not None
    assert quick != sampled
    assert (quick.low, quick.high) == pytest.approx((sampled.low, sampled.high), abs=0.003)


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    """Of samples of 50 images: not all of them, and few do not."""
    holds = 0
    for trial in range(100):
        chance = random.Random(trial)
        found = estimate([chance.random() for _ in range(50)])
        holds += found is not None and found.low <= 0.5 <= found.high

    assert 88 <= holds <= 99


def test_each_method_has_its_numbers_in_the_order_asked_for() -> None:
    """What no image has is null; an image that was not evaluated adds nothing."""
    found = evaluated((of("layercam", 0.2, increase=True), of("cam", 0.4)), (of("layercam", 0.4), of("cam", 0.6)))
    found.add(ImageRecord(index=2, source="b.png", state=ImageState.FAILED))

    first, second = found.methods
    assert (first.method, first.images, second.method, second.images) == ("layercam", 2, "cam", 2)
    assert first.average_drop is not None
    assert (first.average_drop.mean, first.average_drop.low, first.average_drop.high) == pytest.approx((0.3, 0.2, 0.4))
    assert first.average_increase is not None
    assert first.average_increase.mean == 0.5
    assert (first.pointing, first.max_box_acc) == (None, None)


def test_boxes_count_at_the_threshold_that_is_best_for_all() -> None:
    """Not at each image's own best one. Images without boxes are left out."""
    found = evaluated(
        (of("cam", 0, pointing=True, overlaps=(0.6, 0.5, 0.1)),),
        (of("cam", 0, pointing=False, overlaps=(0.1, 0.7, 0.1)),),
        (of("cam", 0, pointing=False, overlaps=(0.1, 0.4, 0.9)),),
        (of("cam", 0),),
    )

    (method,) = found.methods
    assert method.max_box_acc is not None
    assert method.pointing is not None
    assert method.max_box_acc.mean == pytest.approx(2 / 3)
    assert method.pointing.mean == pytest.approx(1 / 3)


def test_the_sentence_names_the_best_and_says_what_is_noise() -> None:
    """By the images' differences: two methods may be alike though both vary from image to image."""
    chance = random.Random(0)
    images = []
    for n in range(40):
        base = chance.random() / 2
        wobble = 0.01 if n % 2 else -0.011
        images.append((of("hirescam", base + 0.3), of("cam", base + wobble), of("layercam", base)))
    found = evaluated(*images)

    assert found.sentence == (
        "on these 40 pictures cam keeps most of the score and hirescam least; the difference between the first two is"
        " within noise (cam, layercam)"
    )
    apart = evaluated(*((of("cam", 0.1 + n / 100), of("layercam", 0.2 + n / 100)) for n in range(20)))
    assert apart.sentence.endswith("cam differs from all others by more than noise")
    alike = evaluated(*((of("cam", 0.1), of("layercam", 0.1)) for _ in range(3)))
    assert alike.sentence.endswith(
        "the 2 methods keep about the same share of the score: the differences are within noise"
    )
    assert evaluated((of("cam", 0.25),)).sentence == "on this 1 picture the maps of cam keep 75% of the score"
    assert evaluated().sentence == ""


def test_the_sentence_says_whose_maps_outlast_what_the_network_learned() -> None:
    """By the last stage, and only where it was tested."""
    both = evaluated(
        *(
            (
                of("layercam", 0.2, randomisation=(("fc", 0.9), ("conv1", 0.5 + n / 10))),
                of("cam", 0.1, randomisation=(("fc", 0.0), ("conv1", n / 10))),
            )
            for n in range(3)
        )
    )
    assert both.sentence.endswith(
        "; with all layers random, maps of cam are least like the real ones (rank correlation 0.10) and those of"
        " layercam most (0.60)"
    )
    one = evaluated((of("cam", 0.25, randomisation=(("fc", 0.25),)),))
    assert one.sentence.endswith(
        "; with all layers random, its maps have a rank correlation of 0.25 with the real ones"
    )


def test_curves_are_means_at_each_step_and_stages_at_each_layer() -> None:
    """Of the images that have them: older workers left none, and a curve of another length is not mixed in."""
    found = evaluated(
        (of("cam", 0, deletion_curve=(0.8, 0.4, 0.0), randomisation=(("fc", 0.5), ("conv1", -0.25))),),
        (of("cam", 0, deletion_curve=(0.4, 0.2, 0.0), randomisation=(("fc", 0.25), ("conv1", 0.25))),),
        (of("cam", 0, deletion_curve=(1.0, 0.0)),),
        (of("cam", 0),),
    )

    (method,) = found.methods
    assert method.deletion_curve is not None
    assert method.deletion_curve.mean == pytest.approx((0.6, 0.3, 0.0))
    assert method.deletion_curve.low[2] == method.deletion_curve.high[2] == 0
    assert method.deletion_curve.low[0] == pytest.approx(0.6 - 1.96 * 0.2, abs=1e-3)
    assert method.insertion_curve is None
    means = [(stage.layer, stage.correlation.mean) for stage in method.randomisation]
    assert means == [("fc", pytest.approx(0.375)), ("conv1", pytest.approx(0.0))]


def test_every_metric_is_explained_where_it_is_shown() -> None:
    """By the name that it has in JSON; `docs/how-to/evaluate.md` explains them by the same names."""
    others = {"method", "images", "seconds_per_image", "road_morf", "road_lerf"}
    others |= {"deletion_curve", "insertion_curve", "randomisation"}
    assert set(METRICS) == set(MethodEvaluation.__struct_fields__) - others
    text = Path("docs/how-to/evaluate.md").read_text()
    assert [name for name in METRICS if f"`{name}`" not in text] == []
