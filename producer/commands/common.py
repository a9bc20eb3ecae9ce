"""What the commands share: options, output, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from producer.services import Services
from producer.wording import visible
from shared.config import Settings
from shared.contract import JobStatus, encode
from shared.errors import UnknownJobError
from shared.states import JobState

if TYPE_CHECKING:
    from rich.table import Table

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
    """A mistyped job id gets the nearest one named."""
    try:
        yield
    except UnknownJobError as error:
        from difflib import get_close_matches

        near = get_close_matches(job, [status.job for status in reach.ledger.jobs(500)], n=1)
        raise UnknownJobError(f"{error}{f'; did you mean {near[0]}?' if near else ''}") from None


def table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """A plain table. Columns in `numbers` are aligned to the right."""
    from rich import box
    from rich.table import Table

    result = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    right = set(numbers)
    for column in columns:
        result.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return result


def show(renderable: object) -> None:
    """A table on stdout, as wide as the terminal; in a pipe as wide as it needs to be, without padding."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 200)
    with console.capture() as text:
        console.print(renderable)
    lines = [line.rstrip() for line in text.get().splitlines()]
    click.echo("\n".join(line for line in lines if line))


def cell(value: object) -> Any:
    """A table cell that is shown as it is: nothing in a file's name is markup or moves the cursor."""
    from rich.text import Text

    return Text(visible("" if value is None else str(value)))
