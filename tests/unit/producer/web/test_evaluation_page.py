"""The page of an evaluation: what is drawn is what was measured."""

import re
from pathlib import Path
from typing import Any

import pytest

from producer.results.analysis.estimates import Estimate
from producer.results.analysis.evaluation import Curve, MethodEvaluation, RandomisedStage
from producer.web.evaluation_page import BAR, HEIGHT, REACH, WIDTH, write_evaluation
from tests.browser.galleries import status_of

SENTENCE = "on these 4 pictures cam keeps most of the score"


def of(method: str, drop: tuple[float, float, float], **more: Any) -> MethodEvaluation:
    numbers = dict.fromkeys((*MethodEvaluation.__struct_fields__,))
    return MethodEvaluation(
        **numbers | {"method": method, "images": 4, "average_drop": Estimate(*drop), "randomisation": ()} | more
    )


def written(folder: Path, *methods: MethodEvaluation) -> str:
    write_evaluation(folder / "page.html", status_of([]), methods, SENTENCE)
    return (folder / "page.html").read_text("utf-8")


def test_a_curve_goes_through_its_means_and_its_band_through_its_ends(tmp_path: Path) -> None:
    """All charts have one scale: the next tenth above the highest of them."""
    falls = Curve((0.4, 0.2, 0.0), (0.3, 0.1, 0.0), (0.5, 0.3, 0.1))
    text = written(
        tmp_path,
        of("cam", (0.2, 0.1, 0.3), deletion_curve=falls),
        of("eigencam", (0.4, 0.3, 0.5), deletion_curve=Curve((0.5, 0.5, 0.5), (0.4, 0.4, 0.4), (0.73, 0.5, 0.5))),
    )

    def at(*values: float) -> str:
        return " ".join(f"{WIDTH * n / 2:.1f},{HEIGHT * (1 - value / 0.8):.1f}" for n, value in enumerate(values))

    assert f'class="line" points="{at(0.4, 0.2, 0.0)}"' in text
    assert f'class="other" points="{at(0.5, 0.5, 0.5)}"' in text
    (band, *_) = re.findall(r'class="band" points="([^"]*)"', text)
    assert band.split()[:3] == at(0.5, 0.3, 0.1).split()
    assert band.split()[3:] == at(0.3, 0.1, 0.0).split()[::-1]
    assert ">0.8</text>" in text


def test_intervals_of_a_column_share_one_scale_and_the_best_mean_is_marked(tmp_path: Path) -> None:
    """From the lowest end to the highest; what nobody has is no column."""
    text = written(tmp_path, of("cam", (0.2, 0.1, 0.3)), of("layercam", (0.4, 0.3, 0.5)))

    assert re.findall(r'<line x1="([\d.]+)" x2="([\d.]+)" y1="5"', text) == [("0.0", f"{REACH / 2}"), ("36.0", "72.0")]
    assert re.findall(r'class="mean best">([\d.]+)', text) == ["0.200"]
    assert "pointing" not in text
    assert SENTENCE[1:] in text


def test_a_bar_begins_at_zero_wherever_that_is(tmp_path: Path) -> None:
    """A correlation below zero goes to the left of it; the end of a long layer's name is shown."""
    stages = (
        RandomisedStage("fc", Estimate(1.0, 1.0, 1.0)),
        RandomisedStage("features.denseblock4.denselayer16.conv2", Estimate(-0.25, -0.3, 0.25)),
    )
    text = written(tmp_path, of("cam", (0.2, 0.1, 0.3), randomisation=stages))

    zero = BAR * 0.3 / 1.3
    bars = [tuple(map(float, each)) for each in re.findall(r'class="bar-of" x="([\d.]+)" width="([\d.]+)"', text)]
    assert bars[0] == pytest.approx((zero, BAR - zero), abs=0.1)
    assert bars[1] == pytest.approx((zero - BAR * 0.25 / 1.3, BAR * 0.25 / 1.3), abs=0.1)
    assert "…denselayer16.conv2" in text


def test_no_number_is_called_less_than_nothing(tmp_path: Path) -> None:
    """What is rounded to zero has no sign."""
    stages = (RandomisedStage("fc", Estimate(-0.001, -0.3, 0.25)),)
    text = written(tmp_path, of("cam", (-0.0001, -0.0002, 0.3), randomisation=stages))

    assert "-0.00<" not in text
    assert "-0.000" not in text
    assert "-0.30" in text


def test_nothing_of_a_strangers_results_is_markup(tmp_path: Path) -> None:
    """Methods and layers come from the bucket. The page loads nothing from anywhere."""
    stage = RandomisedStage("<img src=x>", Estimate(0.5, 0.4, 0.6))
    text = written(tmp_path, of("<script>alert(1)</script>", (0.2, 0.1, 0.3), randomisation=(stage,)))

    assert "<img" not in text
    assert "<script>alert" not in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)


def test_without_any_picture_it_says_so(tmp_path: Path) -> None:
    """A job all of whose pictures failed."""
    write_evaluation(tmp_path / "page.html", status_of([]), [], "")
    assert "No picture was evaluated." in (tmp_path / "page.html").read_text("utf-8")
