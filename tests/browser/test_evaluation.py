"""The page of an evaluation in a browser: it fits, it can be read, and nothing complains."""

from pathlib import Path

import pytest

from producer.results.analysis.estimates import Estimate
from producer.results.analysis.evaluation import METRICS, Curve, MethodEvaluation, RandomisedStage
from producer.web.evaluation_page import write_evaluation
from tests.browser.conftest import Open
from tests.browser.contrast import LOOKS, too_pale
from tests.browser.galleries import status_of

METHODS = ("cam", "gradcam", "hirescam", "xgradcam", "layercam", "gradcam++", "eigencam", "ablationcam")


@pytest.fixture(scope="module")
def page_of_eight(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every method with every metric, curves and a randomisation test with long names."""
    some = Estimate(0.5, 0.25, 0.75)
    curve = Curve(tuple(n / 20 for n in range(21)), (0.0,) * 21, (1.0,) * 21)
    stages = tuple(RandomisedStage(f"features.denseblock4.denselayer{n}.conv2", some) for n in range(10))
    methods = [
        MethodEvaluation(
            **dict.fromkeys(METRICS, some),
            method=method,
            images=1000,
            road_morf=some,
            road_lerf=some,
            seconds_per_image=some,
            deletion_curve=curve,
            insertion_curve=curve,
            randomisation=stages,
        )
        for method in METHODS
    ]
    path: Path = tmp_path_factory.mktemp("evaluation") / "trust.html"
    write_evaluation(path, status_of([]), methods, "on these 1,000 pictures the differences are within noise")
    return path.as_uri()


@LOOKS
def test_the_page_fits_and_is_readable(open_page: Open, page_of_eight: str, width: int, theme: str) -> None:
    """The table scrolls by itself; charts are as wide as there is room, and no bar or curve leaves its chart."""
    page = open_page(page_of_eight, width=width, color_scheme=theme)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert too_pale(page) == []
    assert page.locator("article svg").count() == 3 * len(METHODS)
    outside = """() => [...document.querySelectorAll("article svg")].filter((svg) => {
      const room = svg.getBoundingClientRect();
      return [...svg.querySelectorAll("rect, polyline, polygon, text")].some((each) => {
        const box = each.getBoundingClientRect();
        return box.left < room.left - 1 || box.right > room.right + 1 || box.bottom > room.bottom + 1;
      });
    }).map((svg) => svg.getAttribute("aria-label"))"""
    assert page.evaluate(outside) == []


def test_a_phone_shows_every_number_without_scrolling_sideways(open_page: Open, page_of_eight: str) -> None:
    """Each with its name, whether more or less is better, and its interval."""
    page = open_page(page_of_eight, width=390)

    assert page.locator(".wide-table").evaluate("table => table.scrollWidth - table.clientWidth") == 0
    first = page.locator("tbody tr").first
    assert first.locator("td:visible").count() == len(METRICS) + 1
    named = first.locator("td").evaluate_all("cells => cells.map(cell => getComputedStyle(cell, '::before').content)")
    assert named[:2] == ['"average drop ↓"', '"average increase ↑"']
    assert first.locator("td").first.inner_text().split() == ["0.500", "0.250", "to", "0.750"]


def test_it_needs_no_script(open_page: Open, page_of_eight: str) -> None:
    """Numbers, curves and bars are there without one."""
    page = open_page(page_of_eight, java_script_enabled=False)

    assert page.locator("tbody tr").count() == len(METHODS)
    assert page.locator(".line").count() == 2 * len(METHODS)
