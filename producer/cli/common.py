"""What all commands share: `--json`, output, the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from producer.services import Services
from shared.config import Settings
from shared.contract import encode
from shared.text import visible_json, visible_lines

F = TypeVar("F", bound=Callable[..., Any])

#: `--json`: only JSON on stdout; everything for people goes to stderr.
json_option = click.option("--json", "as_json", is_flag=True, help="Print only JSON on stdout.")


def emit(value: object) -> None:
    """One JSON document on a line of stdout, at once."""
    click.echo(visible_json(encode(value)))


def say(text: str) -> None:
    """A line for people, on stderr."""
    click.echo(visible_lines(text), err=True)


@contextmanager
def busy(text: str) -> Iterator[None]:
    """Inside, people see what takes seconds: a line on stderr, which on a terminal goes afterwards."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        say(text)
        yield
        return
    with console.status(text):
        yield


@contextmanager
def services() -> Iterator[Services]:
    """The servers that the CAMQ_* variables name."""
    with Services(Settings.load()) as found:
        yield found
