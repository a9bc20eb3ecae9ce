"""`camq status` and `watch`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import job_argument
from producer.cli.tables import Table, cell, show
from producer.cli.waiting import conclude, resumable_watch, wait_for
from producer.formatting import duration, elapsed_s, moment, outcome, rate, time_left, webhook_line
from producer.lookup import find_job

if TYPE_CHECKING:
    from producer.services import Services
    from shared.contract import JobStatus, WorkerInfo


@click.command()
@job_argument
@click.option("--tasks", is_flag=True, help="Also list Celery's state of each chunk's task.")
@json_option
def status(job: str, tasks: bool, as_json: bool) -> None:
    """Show the state of a job: images done and failed, rate, time left.

    \b
    Examples:
      camq status 20261123-081502-3f9ac2
      camq status 20261123-081502-3f9ac2 --json | jq .eta_s
    """
    with services() as reach:
        job = find_job(reach.ledger, job)
        found = reach.ledger.status(job)
        workers = [] if found.state.finished else _serving(reach, found.model)
        states = _task_states(reach, job) if tasks else None
    if not workers and not found.state.finished:
        say(f"no worker serves {found.model} now; the job waits for one")
    for reason, count in Counter(info.waiting_for for info in workers if info.waiting_for).items():
        say(f"{count} of its {len(workers)} workers wait: {reason}")
    if found.submission_interrupted:
        say(f"the submission was interrupted. To resume it, repeat the same command with\n  --job-id {job}")
        say(f"To finish the job with the images that it has:\n  camq seal {job}")
    if as_json:
        emit(found if states is None else {**_as_dict(found), "tasks": states})
        return
    show(_status_table(found))
    if states is not None:
        rows = Table("task", "state")
        for entry in states:
            rows.add_row(cell(entry["id"]), cell(entry["state"]))
        show(rows)


@click.command()
@job_argument
@json_option
def watch(job: str, as_json: bool) -> int:
    """Follow a job until it has finished; exit status 1 if an image failed.

    Ctrl-C stops watching, not the job. With --json, the final status is printed on one line.

    \b
    Examples:
      camq watch 20261123-081502-3f9ac2
      camq watch 20261123-081502-3f9ac2 --json | jq .state
    """
    with services() as reach:
        job = find_job(reach.ledger, job)
        with resumable_watch(job):
            final = wait_for(reach, job)
    return conclude(final, as_json=as_json)


def _serving(reach: Services, model: str) -> list[WorkerInfo]:
    return [info for info in reach.ledger.workers() if info.state != "starting" and model in info.models]


def _status_table(found: JobStatus) -> Table:
    rows = Table("job", found.job, fold=[found.job])
    unfinished = not (found.state.finished or found.submission_interrupted)
    lines = {
        "name": found.name,
        "tags": ", ".join(found.tags),
        "state": "submission interrupted" if found.submission_interrupted else found.state,
        "images": f"{found.total:,}{'' if found.sealed else ' so far'}: {outcome(found)}",
        "left out": ", ".join(f"{n:,} {kind}" for kind, n in found.left_out.items()),
        "rate": rate(found.images_per_second) if found.images_per_second else None,
        "time left": time_left(found).removesuffix(" left") if unfinished else None,
        "model": found.model,
        "submitted": moment(found.created_at),
        "took" if found.finished_at else "running for": duration(elapsed_s(found)) if found.started_at else None,
        "finished": moment(found.finished_at),
        "webhook": webhook_line(found.webhook) if found.webhook else None,
    }
    for name, value in lines.items():
        if value:
            rows.add_row(name, cell(value))
    return rows


def _task_states(reach: Services, job: str) -> list[dict[str, str]]:
    from celery.result import AsyncResult

    from shared.broker import make_app

    app = make_app(reach.settings)
    try:
        ids = [message.task_id for message in reach.ledger.attempts(job)]
        return [{"id": name, "state": AsyncResult(name, app=app).state} for name in ids]
    finally:
        app.close()


def _as_dict(found: JobStatus) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(found)
