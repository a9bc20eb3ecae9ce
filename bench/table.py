"""A report for people: one block per row, every sample, every target and whether it was met."""

from collections.abc import Iterable

from bench.results import Report, Row

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
