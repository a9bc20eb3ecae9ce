"""An evaluation as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.tables import Table, show
from producer.results.analysis.evaluation import METRICS
from shared.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.results.analysis.estimates import Estimate
    from producer.results.analysis.evaluation import MethodEvaluation

#: Columns that a narrow terminal goes without, the first of them first.
_LEAST_NEEDED = ("complexity", "sparsity", "ms/image", "average_increase", "images", "max_box_acc", "pointing")


def print_evaluation(methods: Sequence[MethodEvaluation], sentence: str) -> None:
    """A table, what its columns mean, and what the numbers come to."""
    names = [name for name in METRICS if any(getattr(each, name) for each in methods)]
    show(_numbers(methods, names))
    click.echo("\nmeans over the pictures, each above its 95% confidence interval:")
    for name in names:
        metric = METRICS[name]
        click.echo(f"  {metric.name:<16}  {metric.meaning}{f' ({metric.better} is better)' if metric.better else ''}")
    if tested := [each for each in methods if each.randomisation]:
        click.echo("\nmean rank correlation with the real maps, with all layers random from the top down to:")
        show(_stages(tested))
    click.echo(f"\n{sentence}")


def _numbers(methods: Sequence[MethodEvaluation], names: Sequence[str]) -> Table:
    heads = ("method", "images", *(METRICS[name].head for name in names), "ms/image")
    drop = [METRICS[name].head if name in METRICS else name for name in _LEAST_NEEDED]
    rows = Table(*heads, numbers=heads[1:], drop=drop)
    for found in methods:
        metrics = [getattr(found, name) for name in names]
        seconds = found.seconds_per_image
        speed = f"{seconds.mean * 1000:,.1f}" if seconds else ""
        rows.add_row(found.method, f"{found.images:,}", *map(_mean, metrics), speed)
        rows.add_row("", "", *map(_interval, metrics), "")
    return rows


def _stages(methods: Sequence[MethodEvaluation]) -> Table:
    """What is left of each method's maps, stage by stage."""
    rows = Table("layer", *(each.method for each in methods), numbers=[each.method for each in methods], crop=["layer"])
    for place, stage in enumerate(methods[0].randomisation):
        found = (each.randomisation[place : place + 1] for each in methods)
        rows.add_row(visible(stage.layer), *(_mean(known[0].correlation if known else None) for known in found))
    return rows


def _mean(found: Estimate | None) -> str:
    return f"{found.mean:z.3f}" if found else ""


def _interval(found: Estimate | None) -> str:
    return f"{found.low:z.3f} to {found.high:z.3f}" if found else ""
