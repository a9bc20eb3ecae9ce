"""`camq status` and `watch`, and what other commands use to wait for a job and to fetch its results."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.arguments import job_argument
from producer.cli.common import emit, json_option, say, services, status_of, suggesting
from producer.cli.tables import Table, cell, show
from producer.formatting import duration, outcome, rate, time_left, told_webhook
from shared.states import JobState

if TYPE_CHECKING:
    from producer.services import Services
    from shared.contract import ImageRecord, JobStatus


@click.command()
@job_argument
@click.option("--tasks", is_flag=True, help="List Celery's state of each chunk's task as well.")
@json_option
def status(job: str, tasks: bool, as_json: bool) -> None:
    """Show where a job stands.

    \b
    Examples:
      camq status 20261123-081502-3f9ac2
      camq status 20261123-081502-3f9ac2 --json | jq .eta_s
    """
    with services() as reach, suggesting(reach, job):
        found = reach.ledger.status(job)
        waits_for_worker = not found.state.finished and not reach.ledger.models().get(found.model, False)
        states = _task_states(reach, job) if tasks else None
    if waits_for_worker:
        say(f"no worker serves {found.model} now; the job waits until one does")
    if found.submission_interrupted:
        say(f"the submission was interrupted; the same command goes on where it stopped, with\n  --job-id {job}")
        say(f"or let the job end with the images it has:\n  camq seal {job}")
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
    with services() as reach, suggesting(reach, job), leaving(job):
        final = wait_for(reach, job)
    return conclude(final, as_json=as_json)


@contextmanager
def leaving(job: str) -> Iterator[None]:
    """After Ctrl-C, says that the job goes on and how to come back to it."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"\nstopped watching; the job goes on. Come back with\n  camq watch {job}")
        raise


def wait_for(reach: Services, job: str) -> JobStatus:
    """Follow the job with a progress display; its final status, said in a line as well."""
    from producer.progress import Display
    from producer.watch import follow

    with Display() as display, closing(follow(reach.ledger, job, display.notice)) as statuses:
        for found in statuses:
            display.status(found)
    say(f"job {job} {found.state}: {outcome(found)}{_in_time(found)}")
    return found


def conclude(final: JobStatus, *, as_json: bool) -> int:
    """The end of a command that waited: where to read on, and the exit status."""
    if as_json:
        emit(final)
    if final.failed:
        say(f"why images failed: camq results {final.job}")
    return status_of(final)


def fetch(reach: Services, job: str, folder: Path, *, as_json: bool) -> Iterator[ImageRecord]:
    """The job's records while its files are fetched into `folder`, with progress."""
    from producer.progress import Display
    from producer.results.download import download

    total = reach.ledger.status(job).total
    records = download(reach.ledger, reach.store, job, folder, threads=reach.settings.io_threads, notice=say)
    mixed = as_json and sys.stdout.isatty()  # a bar among the lines of JSON would spoil both
    with Display(enabled=not mixed) as display:
        for done, record in enumerate(records, 1):
            yield record
            display.fetch(done, total)


def _status_table(found: JobStatus) -> Table:
    from producer.web.kit.summary import elapsed_s, moment

    rows = Table("job", found.job, fold=[found.job])
    goes_on = not (found.state.finished or found.submission_interrupted)
    lines = {
        "name": found.name,
        "tags": ", ".join(found.tags),
        "state": "submission interrupted" if found.submission_interrupted else found.state,
        "images": f"{found.total:,}{'' if found.sealed else ' so far'}: {outcome(found)}",
        "rate": rate(found.images_per_second) if found.images_per_second else None,
        "time left": time_left(found).removesuffix(" left") if goes_on else None,
        "model": found.model,
        "submitted": moment(found.created_at),
        "took" if found.finished_at else "running for": duration(elapsed_s(found)) if found.started_at else None,
        "finished": moment(found.finished_at),
        "webhook": told_webhook(found.webhook) if found.webhook else None,
    }
    for name, value in lines.items():
        if value:
            rows.add_row(name, cell(value))
    return rows


def _in_time(found: JobStatus) -> str:
    from producer.web.kit.summary import elapsed_s

    if not found.images_per_second or found.state is JobState.CANCELLED:
        return ""
    return f", in {duration(elapsed_s(found))} ({rate(found.images_per_second)})"


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
