"""What a run of the benchmark says: raw samples, their medians and spread, the targets they are held against; and how
it is printed."""

import statistics
from collections.abc import Iterable, Sequence
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


#: More samples than this are shown by their quantiles; the JSON has all of them.
_SAMPLES_SHOWN = 8


def render(report: Report) -> str:
    """The whole report as text."""
    blocks = [_facts("settings", report.settings), _facts("machine", report.machine)]
    blocks += [block(row) for row in report.rows]
    blocks.append(verdict(report.rows))
    return "\n\n".join(blocks)


def block(row: Row) -> str:
    """One row: its settings, series, targets and notes."""
    lines = [f"{row.number}. {row.title}  ({row.seconds:.0f} s)"]
    if row.settings:
        lines.append("   " + ", ".join(f"{name} {value}" for name, value in row.settings.items()))
    width = max(map(len, row.series))
    for name, series in row.series.items():
        shown = [f"{sample:.4g}" for sample in series.samples]
        if len(shown) > _SAMPLES_SHOWN:
            shown = [f"p{100 * share:g} {series.quantile(share):.4g}" for share in (0.01, 0.1, 0.5, 0.9, 0.99)]
        lines.append(
            f"   {name:<{width}}  {series.median:>9.4g} {series.unit:<8} spread {series.spread:>4.0%}   "
            f"[{', '.join(shown)}]"
        )
    lines += [f"   {_line(target_of)}" for target_of in _targets([row])]
    lines += [f"   note: {note}" for note in row.notes]
    return "\n".join(lines)


def verdict(rows: Iterable[Row]) -> str:
    """All targets once more, in one table."""
    lines = [_line(target) for target in _targets(rows)]
    return "\n".join(["targets", *(f"   {line}" for line in lines or ["none in these rows"])])


_Judged = tuple[str, float, str, float, bool]


def _targets(rows: Iterable[Row]) -> list[_Judged]:
    return [(t.what, t.value, t.relation, t.bound, t.met) for row in rows for t in row.targets]


def _line(target: _Judged) -> str:
    what, value, relation, bound, met = target
    return f"{'met   ' if met else 'MISSED'} {value:>8.4g} {relation} {bound:<7g} {what}"


def _facts(title: str, facts: dict[str, object]) -> str:
    return "\n".join([title, *(f"   {name}: {value}" for name, value in facts.items())])
