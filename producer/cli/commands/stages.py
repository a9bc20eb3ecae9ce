"""`camq workers --stages`: where a worker's time goes, and how full its micro-batches are."""

from __future__ import annotations

import click

from producer.cli.tables import Table, cell, show
from producer.formatting import duration, milliseconds
from producer.stage_lines import images_per_batch, stage_lines
from shared.contract import WorkerInfo

_BAR = 24


def show_stages(info: WorkerInfo) -> None:
    """One worker: a line of its own, the stages of its work, its micro-batches by size."""
    click.echo(f"\n{info.host} pid {info.pid}, {', '.join(info.models) or 'no model yet'}, {info.device or info.state}")
    rows = Table("stage", "per", "times", "mean", "in all", numbers=["times", "mean", "in all"])
    for line in stage_lines(info):
        mean = "-" if line.mean is None else milliseconds(line.mean)
        rows.add_row(line.name, line.per, f"{line.times:,}", mean, duration(line.seconds))
    show(rows)
    average = images_per_batch(info.batch_sizes)
    if average is None:
        return
    click.echo(f"micro-batches: {average:.1f} images on average")
    rows = Table("images", "times", "", numbers=["images", "times"])
    most = max(info.batch_sizes.values())
    for size, times in info.batch_sizes.items():
        rows.add_row(cell(size), f"{times:,}", "█" * max(1, round(_BAR * times / most)))
    show(rows)
