"""`camq report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import job_argument, whole
from producer.formatting import count
from producer.lookup import find_job

#: A browser opens a single file with more pictures slowly.
_MANY_TO_EMBED = 500


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
@click.option("--embed", is_flag=True, help="Put the thumbnails into the page, so that it is one file.")
@click.option("--limit", type=whole(1), default=20_000, show_default=True, help="Maximum number of images to show.")
@json_option
def report(job: str, out: Path, embed: bool, limit: int, as_json: bool) -> None:
    """Write a job's results as an HTML page that opens from disk, even offline.

    \b
    Examples:
      camq report 20261123-081502-3f9ac2 -o holiday.html
      camq report 20261123-081502-3f9ac2 --embed
    """
    from producer.web.report import write_report

    with services() as reach:
        job = find_job(reach.ledger, job)
        status = reach.ledger.status(job)
        expected = min(status.total, limit)
        if embed and expected > _MANY_TO_EMBED:
            say(f"a page with {count(expected, 'embedded image')} opens slowly; without --embed it opens faster")
        with click.progressbar(
            length=expected, label="thumbnails", file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            shown = write_report(reach, job, out, embed=embed, most=limit, progress=lambda *_: bar.update(1))
    if not status.state.finished:
        say(f"job {job} is still {status.state}; the page shows its results so far")
    if shown < status.total:
        say(f"the page shows the first {shown:,} of {count(status.total, 'image')}")
    emit({"report": str(out), "images": shown}) if as_json else click.echo(out)
