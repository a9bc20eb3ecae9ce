"""`camq jobs` and `cancel`."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from producer.cli.arguments import job_argument
from producer.cli.common import emit, json_option, say, services, suggesting
from producer.cli.tables import Table, cell, show
from producer.cli.values import Whole
from producer.formatting import duration, outcome, progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.contract import JobStatus

#: Of so many jobs the tags are known to whoever mistyped one.
_LOOKED_AT = 500


@click.command()
@click.option("--limit", type=Whole(min=1), default=20, show_default=True, help="At most so many.")
@click.option("--tag", "tags", metavar="TEXT", multiple=True, help="Only jobs with this tag; repeatable.")
@json_option
def jobs(limit: int, tags: tuple[str, ...], as_json: bool) -> None:
    """List the newest jobs.

    \b
    Examples:
      camq jobs --limit 5
      camq jobs --tag nightly --tag cats
      camq jobs --json | jq -r '.[0].job'
    """
    with services() as reach:
        found = reach.ledger.jobs(limit, tags)
        if tags and not found:
            say(f"no job has the {_tags_and_nearest(tags, reach.ledger.jobs(_LOOKED_AT))}")
    if as_json:
        emit(found)
        return
    if not found:
        if not tags:
            say("no jobs; make one with `camq submit PATHS`")
        return
    tagged = any(status.tags for status in found)
    rows = Table(
        *("job", "name", *["tags"] * tagged, "state", "images", "time left", "model"),
        numbers=["time left"],
        fold=["name", "images", *["tags"] * tagged],
        drop=["model", "time left", *["tags"] * tagged, "name"],
    )
    for status in found:
        left = "" if status.eta_s is None else duration(status.eta_s)
        state = "submission interrupted" if status.submission_interrupted else status.state
        shown = [", ".join(status.tags)] * tagged
        rows.add_row(*map(cell, (status.job, status.name, *shown, state, progress(status), left, status.model)))
    show(rows)


def _tags_and_nearest(wanted: Sequence[str], known: Iterable[JobStatus]) -> str:
    """Such as `tag 'nigthly'; did you mean 'nightly'?`."""
    used = sorted({tag for status in known for tag in status.tags})
    near = [f"{found[0]!r}" for tag in wanted if tag not in used and (found := get_close_matches(tag, used, n=1))]
    named = f"tag{'s' if len(wanted) > 1 else ''} {' and '.join(map(repr, wanted))}"
    return f"{named}; did you mean {' and '.join(near)}?" if near else named


@click.command()
@job_argument
@json_option
def cancel(job: str, as_json: bool) -> None:
    """Stop a job: queued images at once, running ones at their next stage.

    What has succeeded stays. With --json, the job's status after that is printed.

    \b
    Example:
      camq cancel 20261123-081502-3f9ac2
    """
    with services() as reach, suggesting(reach, job):
        stopped = reach.ledger.cancel(job)
        found = reach.ledger.status(job)
    if as_json:
        emit(found)
    else:
        click.echo(
            f"job {job} {'is cancelled' if stopped else f'had finished already ({found.state})'}: {outcome(found)}"
        )
