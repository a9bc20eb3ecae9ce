"""`camq jobs` and `cancel`."""

import click

from producer.commands.arguments import job_argument
from producer.commands.common import emit, json_option, say, services, suggesting
from producer.commands.tables import Table, cell, show
from producer.commands.values import Whole
from producer.wording import duration, outcome, progress


@click.command()
@click.option("--limit", type=Whole(min=1), default=20, show_default=True, help="At most so many.")
@json_option
def jobs(limit: int, as_json: bool) -> None:
    """List the newest jobs.

    \b
    Examples:
      camq jobs --limit 5
      camq jobs --json | jq -r '.[0].job'
    """
    with services() as reach:
        found = reach.ledger.jobs(limit)
    if as_json:
        emit(found)
        return
    if not found:
        say("no jobs; make one with `camq submit PATHS`")
        return
    rows = Table(
        *("job", "name", "state", "images", "time left", "model"),
        numbers=["time left"],
        fold=["name", "images"],
        drop=["model", "time left", "name"],
    )
    for status in found:
        left = "" if status.eta_s is None else duration(status.eta_s)
        state = "submission interrupted" if status.submission_interrupted else status.state
        values = (status.job, status.name, state, progress(status), left, status.model)
        rows.add_row(*map(cell, values))
    show(rows)


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
