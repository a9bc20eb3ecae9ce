"""Writes an evaluation as a page: its numbers with their intervals, and the curves behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from producer.results.analysis.evaluation import METRICS
from producer.web.kit.page import render
from producer.web.kit.written import WrittenPage

if TYPE_CHECKING:
    from pathlib import Path

    from producer.results.analysis.estimates import Estimate
    from producer.results.analysis.evaluation import Curve, MethodEvaluation, RandomisedStage
    from shared.contract import JobStatus

#: Of a chart, in its own units: the picture inside the axes, and the room for their labels.
WIDTH, HEIGHT = 260, 150
#: Of the interval below a number.
REACH = 72
#: A row of the randomisation test, the room for the layer's name, and the longest bar: together as wide as a chart.
ROW, NAME, BAR = 17, 118, 148
#: Characters of a layer's name that fit there; its end says which layer it is.
_LONGEST_NAME = 19


class Cell(NamedTuple):
    """A number of the table with its interval, drawn on the scale that all methods share."""

    mean: float
    low: float
    high: float
    #: From 0 to `REACH`: low, mean, high.
    drawn: tuple[float, float, float]
    is_best: bool


class Chart(NamedTuple):
    """One method's curve: its band, its line, and the lines of the others."""

    line: str
    band: str
    others: tuple[str, ...]
    start: float
    end: float


class Bar(NamedTuple):
    """One stage of the randomisation test."""

    layer: str
    shown: str
    mean: float
    low: float
    high: float
    #: Where the bar begins and how wide it is; where its interval begins and ends.
    x: float
    width: float
    reach: tuple[float, float]


def write_evaluation(
    path: Path,
    status: JobStatus,
    methods: Sequence[MethodEvaluation],
    sentence: str,
    *,
    notice: Callable[[str], None] = lambda _: None,
) -> None:
    """The page of these methods, which are those of an evaluation's job. It appears whole or not at all."""
    names = [name for name in METRICS if any(getattr(each, name) for each in methods)]
    top = _top(methods)
    page = render(
        "evaluation.html",
        status=status,
        methods=methods,
        sentence=sentence,
        metrics={name: METRICS[name] for name in names},
        cells={name: _cells(name, methods) for name in names},
        charts={
            name: {each.method: _chart(each, methods, name, top) for each in methods if getattr(each, name)}
            for name in ("deletion_curve", "insertion_curve")
        },
        bars={each.method: _bars(each.randomisation, _bottom(methods)) for each in methods if each.randomisation},
        top=top,
        size=(WIDTH, HEIGHT, REACH, ROW, NAME, BAR),
    )
    with WrittenPage(path, embed=True, notice=notice) as written:
        written.complete(page)


def _cells(name: str, methods: Sequence[MethodEvaluation]) -> dict[str, Cell]:
    """Of one metric, by method."""
    found: dict[str, Estimate] = {each.method: known for each in methods if (known := getattr(each, name))}
    low, high = min(each.low for each in found.values()), max(each.high for each in found.values())
    span = high - low or 1.0
    means = [each.mean for each in found.values()]
    best = {"lower": min(means), "higher": max(means)}.get(METRICS[name].better)
    return {
        method: Cell(
            each.mean,
            each.low,
            each.high,
            (_scaled(each.low - low, span), _scaled(each.mean - low, span), _scaled(each.high - low, span)),
            each.mean == best and len(means) > 1,
        )
        for method, each in found.items()
    }


def _scaled(value: float, span: float) -> float:
    return round(REACH * value / span, 1)


def _top(methods: Sequence[MethodEvaluation]) -> float:
    """The probability at the top of all charts: the next tenth above every curve."""
    curves = [curve for each in methods for curve in (each.deletion_curve, each.insertion_curve) if curve]
    highest = max((max(curve.high) for curve in curves), default=1.0)
    return min(1.0, max(0.1, -(-highest * 10 // 1) / 10))


def _bottom(methods: Sequence[MethodEvaluation]) -> float:
    """The correlation at the left end of all bars: 0, or the next tenth below what is negative."""
    lowest = min((stage.correlation.low for each in methods for stage in each.randomisation), default=0.0)
    return max(-1.0, min(0.0, lowest * 10 // 1 / 10))


def _chart(own: MethodEvaluation, methods: Sequence[MethodEvaluation], name: str, top: float) -> Chart:
    curve: Curve = getattr(own, name)
    line = _along(top)
    others = (getattr(each, name) for each in methods if each.method != own.method)
    band = [*line(curve.high), *reversed(line(curve.low))]
    return Chart(
        " ".join(line(curve.mean)),
        " ".join(band),
        tuple(" ".join(line(each.mean)) for each in others if each),
        curve.mean[0],
        curve.mean[-1],
    )


def _along(top: float) -> Callable[[Sequence[float]], list[str]]:
    """Probabilities at equal steps to points of a chart."""

    def points(values: Sequence[float]) -> list[str]:
        last = max(1, len(values) - 1)
        heights = (min(1.0, max(0.0, value / top)) for value in values)
        return [f"{WIDTH * step / last:.1f},{HEIGHT * (1 - height):.1f}" for step, height in enumerate(heights)]

    return points


def _bars(stages: Sequence[RandomisedStage], bottom: float) -> list[Bar]:
    def place(value: float) -> float:
        return round(BAR * (value - bottom) / (1 - bottom), 1)

    found = []
    for stage in stages:
        known = stage.correlation
        begin, end = sorted((place(0), place(known.mean)))
        name = stage.layer or "the whole network"
        short = name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
        reach = place(max(-1.0, known.low)), place(min(1.0, known.high))
        found.append(Bar(name, short, known.mean, known.low, known.high, begin, end - begin, reach))
    return found
