"""What the commands share: options, output, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from producer.services import Services
from shared.config import Settings
from shared.contract import JobStatus, encode
from shared.errors import UnknownJobError
from shared.states import JobState
from shared.suggest import nearest

F = TypeVar("F", bound=Callable[..., Any])

#: `--json`: only JSON on stdout; everything for people goes to stderr.
json_option = click.option("--json", "as_json", is_flag=True, help="Print only JSON on stdout.")


def emit(value: object) -> None:
    """One JSON document on a line of stdout, at once."""
    click.echo(encode(value))


def say(text: str) -> None:
    """A line for people, on stderr."""
    click.echo(text, err=True)


def status_of(outcome: JobStatus) -> int:
    """The exit status of a command that waited for this job."""
    return 0 if outcome.state is JobState.SUCCEEDED else 1


@contextmanager
def services() -> Iterator[Services]:
    """The servers that the CAMQ_* variables name."""
    with Services(Settings.load()) as found:
        yield found


@contextmanager
def suggesting(reach: Services, job: str) -> Iterator[None]:
    """A mistyped job id gets the nearest one named, before where all of them are."""
    try:
        yield
    except UnknownJobError as error:
        near = nearest(job, [status.job for status in reach.ledger.jobs(500)], most=1)
        if not near:
            raise
        reason = str(error).partition("; see ")[0]
        raise UnknownJobError(f"{reason}; did you mean {near[0]}? All jobs: `camq jobs`") from None
