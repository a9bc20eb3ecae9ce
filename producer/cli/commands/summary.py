"""`camq summary`: how often a job was right, and where not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import job_argument
from producer.cli.tables import Table, cell, show
from producer.formatting import accuracy, count, share
from producer.lookup import find_job

if TYPE_CHECKING:
    from shared.contract import ClassAccuracy, JobSummary

#: Classes and pairs that are listed for people; `--json` has more.
_ROWS = 10


@click.command()
@job_argument
@json_option
def summary(job: str, as_json: bool) -> None:
    """Show how often a job was right: accuracy, recall and precision of each class, the most frequent confusions, and
    the calibration error.

    Also lists suspicious classes: those whose heat lies outside the true boxes, or at one place where other classes
    have none; and suspicious clusters of maps within a class.

    The job needs ground truth: see `camq submit --truth`.

    \b
    Examples:
      camq summary latest
      camq summary latest --json | jq '.confusions[:5]'
    """
    from producer.results.analysis.accuracy import summarise_job

    with services() as reach:
        job = find_job(reach.ledger, job)
        status = reach.ledger.status(job)
        with click.progressbar(
            length=status.total, label="results", file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            threads = reach.settings.io_threads
            found = summarise_job(
                reach.ledger, reach.store, job, threads=threads, progress=lambda: bar.update(1), notice=say
            )
    if not status.state.finished:
        say(f"job {job} is still {status.state}; this is about its results so far")
    if not found.with_truth:
        say("no result has ground truth: submit with --truth folders, or a table with a column `label`")
    if as_json:
        emit(found)
    elif found.with_truth:
        _print(found)


def _print(found: JobSummary) -> None:
    failed = f", {found.failed:,} failed" if found.failed else ""
    click.echo(f"{count(found.images, 'image')}, {found.with_truth:,} with ground truth{failed}")
    click.echo(accuracy(found))
    rows = Table(
        "least often found", "images", "recall", "precision", numbers=["images", "recall", "precision"],
        crop=["least often found"],
    )  # fmt: skip
    for one in sorted((each for each in found.classes if each.support), key=_worst_first)[:_ROWS]:
        rows.add_row(cell(one.label), f"{one.support:,}", share(one.recall), share(one.precision))
    show(rows)
    if found.confusions:
        rows = Table("truth", "taken for", "images", numbers=["images"], crop=["truth", "taken for"])
        for pair in found.confusions[:_ROWS]:
            rows.add_row(cell(pair.truth or "(nothing)"), cell(pair.predicted or "(nothing)"), f"{pair.count:,}")
        show(rows)
    if found.suspects:
        rows = Table(
            *("look at", "because of", "score", "images", "such as"), numbers=["score", "images"], crop=["look at"]
        )
        for odd in found.suspects[:_ROWS]:
            examples = ", ".join(map(str, odd.examples))
            rows.add_row(cell(odd.label), odd.reason, f"{odd.score:.2f}", f"{odd.images:,}", examples)
        show(rows)
    if clusters := [kin for kin in found.clusters if kin.reason]:
        rows = Table(
            *("cluster of", "because of", "score", "images", "such as"),
            numbers=["score", "images"],
            crop=["cluster of"],
        )
        for kin in clusters[:_ROWS]:
            images = f"{kin.images:,} of {kin.sampled:,}"
            rows.add_row(
                cell(kin.label), kin.reason or "", f"{kin.score:.2f}", images, ", ".join(map(str, kin.examples))
            )
        show(rows)


def _worst_first(one: ClassAccuracy) -> tuple[float, int]:
    return one.recall or 0.0, -one.support
