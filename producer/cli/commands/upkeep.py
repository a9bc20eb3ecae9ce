"""`camq retry`, `rm` and `gc`: run failed images again, delete a job, delete what no job needs; `camq completion`."""

import sys
from collections import Counter

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import choice, job_argument
from producer.formatting import count, size
from producer.lookup import find_job
from producer.services import Services
from shared.contract import JobState
from shared.errors import CODES, PERMANENT, UnknownJobError, UsageError
from shared.text import visible


@click.command()
@job_argument
@click.option(
    "--code",
    "codes",
    multiple=True,
    type=choice(sorted(CODES)),
    metavar="CODE",
    help=f"Retry only images that failed with this code: {', '.join(sorted(CODES))}. Can be repeated.",
)
@json_option
def retry(job: str, codes: tuple[str, ...], as_json: bool) -> None:
    """Retry the failed images of a job; its other images keep their results.

    Warns of images that will fail again unless their file or a setting has changed, such as files that are no pictures.

    \b
    Examples:
      camq retry 20261123-081502-3f9ac2
      camq retry 20261123-081502-3f9ac2 --code timeout --code poison
    """
    from producer.results import retry as redrive

    with services() as reach:
        job = find_job(reach.ledger, job)
        failed = Counter(error.code for error in reach.ledger.failures(job).values())
        taken = redrive.retry(reach, job, codes)
        state = reach.ledger.status(job).state
    if as_json:
        emit({"job": job, "retried": taken})
    else:
        click.echo(f"job {job}: {count(taken, 'image')} queued again")
        if taken and (lasting := [code for code in sorted(PERMANENT & failed.keys()) if not codes or code in codes]):
            said = ", ".join(f"{failed[code]:,} {code}" for code in lasting)
            say(f"these fail again, unless their files or the limits changed: {said}")
        if not taken:
            again = "; submit its cancelled images again as another job" if state is JobState.CANCELLED else ""
            say(f"no image of the job failed{' with this code' if codes else ''}{again}")


@click.command()
@job_argument
@json_option
def seal(job: str, as_json: bool) -> None:
    """Finish an interrupted submission: the job runs with the images that were submitted.

    \b
    Example:
      camq seal 20261123-081502-3f9ac2
    """
    with services() as reach:
        job = find_job(reach.ledger, job)
        reach.ledger.status(job)
        reach.ledger.seal(job)
        found = reach.ledger.status(job)
    if as_json:
        emit(found)
    else:
        click.echo(f"job {job} is sealed with {count(found.total, 'image')}")


@click.command()
@job_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def rm(job: str, yes: bool, as_json: bool) -> None:
    """Delete a job now: its record, its results and overlays.

    This cannot be undone. It first stops a running job and waits for its workers. Repeat the command if it
    was interrupted. Input pictures stay, because other jobs may share them: `camq gc` deletes them when they are
    older than eight days and no job uses them, `camq gc --now` at once.

    \b
    Example:
      camq rm 20261123-081502-3f9ac2 --yes
    """
    from producer.retention.delete import is_removable, remove

    with services() as reach:
        if not is_removable(reach.ledger, reach.store, job):  # which may have no record any more
            job = find_job(reach.ledger, job)
        what = _what_is_there(reach, job)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("rm deletes for good: outside a terminal, it needs --yes")
            click.confirm(f"Delete job {job} ({what})?", abort=True, err=True)
        done = remove(reach.ledger, reach.store, job)
    deleted, until = done.deleted, done.inputs_until
    if as_json:
        counts = {"objects": deleted.objects, "bytes": deleted.bytes, "inputs_left": done.inputs}
        emit({"job": job, **counts, "inputs_until": until and until.isoformat(timespec="seconds")})
        return
    click.echo(f"job {job} is deleted: {count(deleted.objects, 'object')}, {size(deleted.bytes)}")
    if until:
        click.echo(
            f"{count(done.inputs, 'input picture')} left: `camq gc` deletes those that no job uses after "
            f"{until:%Y-%m-%d %H:%M} UTC"
        )


@click.command()
@click.option("--dry-run", is_flag=True, help="Show how much would be deleted.")
@click.option("--force", is_flag=True, help="Also delete objects of jobs that this ledger does not know.")
@click.option("--now", is_flag=True, help="Delete unused input pictures of any age, and nothing else.")
@json_option
def gc(dry_run: bool, force: bool, now: bool, as_json: bool) -> None:
    """Delete what no job needs and is older than eight days: outputs of expired jobs, unused input pictures.

    If Redis does not know a job, its objects are kept. If Redis knows no job at all, everything is kept, because it may
    be the wrong Redis. --force deletes these objects too. --now is refused while a submission is open; new submissions
    wait until --now ends.

    \b
    Examples:
      camq gc --dry-run
      camq gc --now
    """
    from producer.retention.delete import collect, collect_now

    with services() as reach:
        deleted = (collect_now if now else collect)(reach.ledger, reach.store, force=force, dry_run=dry_run)
    if deleted.unreadable:
        say(
            f"no input picture is deleted: {visible(deleted.unreadable[0])} cannot be read and may name any of them; "
            "`camq rm JOB` deletes its job"
        )
    if as_json:
        emit({"dry_run": dry_run, "objects": deleted.objects, "bytes": deleted.bytes})
    else:
        verb = "would be deleted" if dry_run else "deleted"
        say(f"{count(deleted.objects, 'object')} {verb}, {size(deleted.bytes)}")


def _what_is_there(reach: Services, job: str) -> str:
    """UnknownJobError when there is nothing."""
    from producer.retention.delete import is_removable

    try:
        found = reach.ledger.status(job)
    except UnknownJobError:
        if not is_removable(reach.ledger, reach.store, job):
            raise
        return "what is left of it"
    return f"{found.state}, {count(found.total, 'image')}"


@click.command()
@click.argument("shell", metavar="SHELL", type=choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Print a script that lets your shell complete commands, options, files and job ids.

    SHELL is bash, zsh or fish.

    \b
    Examples:
      camq completion bash >> ~/.bashrc
      camq completion zsh >> ~/.zshrc
      camq completion fish > ~/.config/fish/completions/camq.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows these three
    script = kind(context.find_root().command, {}, "camq", "_CAMQ_COMPLETE").source().rstrip()
    emit({"shell": shell, "script": script}) if as_json else click.echo(script)
