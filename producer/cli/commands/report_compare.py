"""`camq report` and `camq compare`: the pages of one job, and of two beside each other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import job_argument, recent_jobs, whole
from producer.cli.tables import Table, cell, show
from producer.formatting import count
from producer.lookup import find_job
from shared.text import visible

if TYPE_CHECKING:
    from producer.results.analysis.comparison import Comparison

#: Changes that are listed on the terminal.
_MOST_CHANGES = 8


@click.command()
@job_argument
@click.option(
    *("-o", "--output", "out"),
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.html",
    show_default=True,
    help="Page to write. Thumbnails go into a folder beside it, such as report_files for report.html.",
)
@click.option("--embed", is_flag=True, help="Put the thumbnails into the page, so that it is one file: 1,000 at most.")
@click.option("--limit", type=whole(1), default=20_000, show_default=True, help="Maximum number of images to show.")
@json_option
def report(job: str, out: Path, embed: bool, limit: int, as_json: bool) -> None:
    """Write a job's results as an HTML page that opens from disk, even offline.

    \b
    Examples:
      camq report 20261123-081502-3f9ac2 -o holiday.html
      camq report 20261123-081502-3f9ac2 --embed
    """
    from producer.web.report import MOST_EMBEDDED, write_report

    notices: list[str] = []
    with services() as reach:
        job = find_job(reach.ledger, job)
        status = reach.ledger.status(job)
        expected = min(status.total, limit)
        if embed and expected > MOST_EMBEDDED:
            say(f"--embed puts at most {MOST_EMBEDDED:,} pictures into the page; without it the page has {expected:,}")
            expected = MOST_EMBEDDED
        with _progress("thumbnails", expected) as step:
            shown = write_report(
                reach, job, out, embed=embed, most=limit, progress=lambda *_: step(), notice=notices.append
            )
    for notice in notices:  # below the bar
        say(notice)
    if not status.state.finished:
        say(f"job {job} is still {status.state}; the page shows its results so far")
    if shown < status.total:
        say(f"the page shows the first {shown:,} of {count(status.total, 'image')}")
    emit({"report": str(out), "images": shown}) if as_json else click.echo(out)


@click.command()
@click.argument("jobs", metavar="JOB JOB", nargs=2, shell_complete=recent_jobs)
@click.option(
    *("-o", "--output", "out"),
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    default="compare.html",
    show_default=True,
    help="Page to write. Thumbnails go into a folder beside it, such as compare_files for compare.html.",
)
@click.option("--embed", is_flag=True, help="Put the thumbnails into the page, so that it is one file.")
@click.option(
    "--limit",
    type=whole(1),
    default=200,
    show_default=True,
    help="Maximum number of pictures to list, the most different first.",
)
@json_option
def compare(jobs: tuple[str, str], out: Path, embed: bool, limit: int, as_json: bool) -> None:
    """Compare two jobs of the same pictures: two models, or two methods.

    Pictures whose best class differs come first. If both jobs were submitted with --keep-maps, their maps are
    compared too, by rank correlation.

    \b
    Examples:
      camq compare before after
      camq compare before after -o retrained.html --json
    """
    from producer.results.analysis.comparison import compare as compared
    from producer.web.compare import write_comparison
    from producer.written_folder import check_page

    check_page(out)  # before the work
    with services() as reach:
        left, right = (find_job(reach.ledger, job) for job in jobs)
        expected = min(reach.ledger.status(job).total for job in (left, right))
        with _progress("comparing", expected) as step:
            found = compared(reach, left, right, most=limit, progress=step)
        write_comparison(reach, found, out, embed=embed, notice=say)
        for job in (left, right):
            if not (status := reach.ledger.status(job)).state.finished:
                say(f"job {job} is still {status.state}; this compares its results so far")
    if found.map_correlation is None:
        say("only the classes are compared: for maps, both jobs need --keep-maps, and a class that both explained")
    if as_json:
        emit({"page": str(out), **msgspec.to_builtins(found)})
        return
    show(_both(found))
    changed = found.compared - found.same_class
    click.echo(f"{count(found.compared, 'picture')} compared, {changed:,} with another best class")
    if found.map_correlation is not None:
        pairs = count(found.maps_compared, "pair")
        click.echo(f"mean rank correlation of {pairs} of maps: {found.map_correlation:.3f}")
    if found.changes:
        rows = Table("first job", "second job", "pictures", numbers=["pictures"], fold=["first job", "second job"])
        for change in found.changes[:_MOST_CHANGES]:
            names = (visible(name or "no class") for name in (change.left, change.right))
            rows.add_row(*names, f"{change.images:,}")
        show(rows)
    click.echo(out)


def _both(found: Comparison) -> Table:
    """The jobs beside each other: what they are, and in what they differ."""
    rows = Table("", "first job", "second job", fold=["first job", "second job"])
    sides = found.left, found.right
    for name in ("job", "name", "model", "method"):
        rows.add_row(name, *(cell(getattr(side, name)) for side in sides))
    for one in found.options:
        rows.add_row(one.option, cell(one.left), cell(one.right))
    rows.add_row("pictures only there", f"{found.only_left:,}", f"{found.only_right:,}")
    return rows


@contextmanager
def _progress(label: str, length: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr where that is a terminal; each call of what it yields is a step."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden) as bar:
        yield lambda: bar.update(1)
