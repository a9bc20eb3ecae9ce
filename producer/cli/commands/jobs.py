"""`camq jobs` and `cancel`."""

from __future__ import annotations

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import job_argument, whole
from producer.cli.tables import Table, cell, show
from producer.formatting import ago, outcome, progress, time_left
from producer.lookup import find_job
from shared.text import did_you_mean

#: The number of newest jobs whose tags are suggested for a mistyped one.
_LOOKED_AT = 500


@click.command()
@click.option("--limit", type=whole(1), default=20, show_default=True, help="Maximum number of jobs to list.")
@click.option("--tag", "tags", metavar="TEXT", multiple=True, help="List only jobs with this tag. Can be repeated.")
@click.option("--all", "calls", is_flag=True, help="Also list calls of one picture, whose ids begin with explain-.")
@json_option
def jobs(limit: int, tags: tuple[str, ...], calls: bool, as_json: bool) -> None:
    """List the newest jobs.

    Calls of POST /v1/explain and of the task camq.explain are jobs as well, whose ids begin with explain-. They are
    listed with --all or --json only.

    \b
    Examples:
      camq jobs --limit 5
      camq jobs --tag nightly --tag cats
      camq jobs --json | jq -r '.[0].job'
    """
    calls = calls or as_json  # programs were always given all jobs
    with services() as reach:
        found = reach.ledger.jobs(limit, tags, calls=calls)
        if tags and not found:
            used = sorted({tag for status in reach.ledger.jobs(_LOOKED_AT, calls=calls) for tag in status.tags})
            wanted = [f"{tag!r}{'' if tag in used else did_you_mean(tag, used, most=1)}" for tag in tags]
            say(f"no job has the tag{'s' if len(tags) > 1 else ''} {' and '.join(wanted)}")
    if as_json:
        emit(found)
        return
    if not found:
        if not tags:
            say("no jobs yet; submit pictures with `camq submit PATHS`")
        return
    tagged = any(status.tags for status in found)
    runs = any(not status.state.finished for status in found)
    rows = Table(
        *("job", "name", *["tags"] * tagged, "state", "images", "submitted", *["time left"] * runs, "model"),
        fold=["name", "images", *["tags"] * tagged],
        drop=["model", "submitted", "time left", *["tags"] * tagged, "name"],
    )
    for status in found:
        waits = status.state.finished or status.submission_interrupted
        left = [None if waits else time_left(status).removesuffix(" left")] * runs
        state = "submission interrupted" if status.submission_interrupted else status.state
        shown = [", ".join(status.tags)] * tagged
        told = (status.job, status.name, *shown, state, progress(status), ago(status.created_at), *left, status.model)
        rows.add_row(*map(cell, told))
    show(rows)


@click.command()
@job_argument
@json_option
def cancel(job: str, as_json: bool) -> None:
    """Cancel a job: queued images at once, running ones before their next stage.

    Finished images keep their results. With --json, prints the job's final status.

    \b
    Example:
      camq cancel 20261123-081502-3f9ac2
    """
    with services() as reach:
        job = find_job(reach.ledger, job)
        stopped = reach.ledger.cancel(job)
        found = reach.ledger.status(job)
    if as_json:
        emit(found)
    else:
        click.echo(
            f"job {job} {'is cancelled' if stopped else f'had already finished ({found.state})'}: {outcome(found)}"
        )
