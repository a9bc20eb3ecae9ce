"""What a run of the benchmark says: raw samples, their medians and spread, and the targets they are held against."""

import statistics
from collections.abc import Sequence
from typing import Any, Literal

import msgspec


class Series(msgspec.Struct, frozen=True):
    """One quantity, measured several times. The samples are kept in the order they were taken."""

    unit: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle sample, which one disturbed round does not move."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median: how far to trust the third digit."""
        return (max(self.samples) - min(self.samples)) / self.median if self.median else 0.0

    def quantile(self, share: float) -> float:
        """The sample that `share` of all samples do not exceed (nearest rank)."""
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


class Target(msgspec.Struct, frozen=True):
    """One promise: `value`, as measured, `relation` `die_with_parent`."""

    what: str
    value: float
    relation: Literal["≥", "≤"]
    bound: float

    @property
    def met(self) -> bool:
        """Whether the promise was kept in this run."""
        return self.value >= self.bound if self.relation == "≥" else self.value <= self.bound


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one row: its settings, everything measured, and what it was to reach."""

    number: int
    name: str
    title: str
    settings: dict[str, Any]
    series: dict[str, Series]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of `python -m bench`."""

    started_at: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    rows: tuple[Row, ...]


def ratio(over: Sequence[float], under: Sequence[float]) -> Series:
    """Round by round, so that what slowed one round down slowed both of its sides."""
    return Series("x", tuple(a / b for a, b in zip(over, under, strict=True)))


def plain(report: Report) -> Any:
    """The report as JSON has it; what is computed from samples stands beside them, for readers without this code."""
    rows = []
    for row in report.rows:
        series = {
            name: {"unit": s.unit, "median": s.median, "spread": s.spread, "samples": s.samples}
            for name, s in row.series.items()
        }
        targets = [{**msgspec.structs.asdict(target), "met": target.met} for target in row.targets]
        rows.append({**msgspec.structs.asdict(row), "series": series, "targets": targets})
    return {**msgspec.structs.asdict(report), "rows": rows}
