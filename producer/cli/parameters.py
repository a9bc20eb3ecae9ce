"""Parameters that several commands share: values with one wording of errors, JOB, durations, shell completion."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from producer.cli.common import services
from shared.checks.options import Values
from shared.errors import CamqError, UsageError
from shared.text import visible

F = TypeVar("F", bound=Callable[..., Any])
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: A list of words that is longer does not fit beside the option's name in a help text.
_LONGEST_METAVAR = 30
#: The number of newest jobs whose ids a shell offers.
_OFFERED = 50


class Value(click.ParamType[Any]):
    """A value that `values` allows. Its errors are those of the Python API, with the option as it was typed."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.name = {int: "n", float: "number"}.get(values.kind, "text")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value that the text means."""
        if not isinstance(value, str):
            return value
        name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name if param else "value"
        try:
            return self.values.parse(name, value)
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from None

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:  # noqa: ARG002
        """The words, where they are few."""
        words = f"[{'|'.join(self.values.choices)}]"
        return words if 2 < len(words) <= _LONGEST_METAVAR else None

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The words that begin so."""
        return [CompletionItem(word) for word in self.values.choices if word.startswith(incomplete)]


def whole(low: int, high: int | None = None) -> Value:
    """A whole number in a range."""
    return Value(Values(kind=int, low=low, high=high))


def choice(words: Sequence[str]) -> Value:
    """One of a few words."""
    return Value(Values(choices=tuple(words)))


class Duration(click.ParamType[int]):
    """A length of time such as 90s, 30m, 12h or 7d, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds that the text means."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,9})([smhd])", value)
        if not found:
            name = param.opts[0] if param else "duration"
            raise click.UsageError(
                f"invalid {name} {value!r}: expected a number and a unit, such as 90s, 12h or 7d", ctx
            )
        return int(found[1]) * _SECONDS[found[2]]


DURATION = Duration()


def job_argument(function: F) -> F:
    """Adds `JOB`, which a shell completes."""
    return click.argument("job", shell_complete=recent_jobs)(function)


def recent_jobs(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of the newest jobs, with names and states; nothing when the servers cannot be reached."""
    try:
        with services() as reach:
            found = reach.ledger.jobs(_OFFERED, calls=False)
    except CamqError:
        return []  # an error message would only disturb the line that is being typed
    return [
        CompletionItem(job.job, help=visible(" ".join(filter(None, (job.state, job.name)))))
        for job in found
        if job.job.startswith(incomplete)
    ]


def complete_models(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The known models, and whether a worker serves them; nothing when the servers cannot be reached."""
    try:
        with services() as reach:
            known = reach.ledger.models()
    except CamqError:
        return []
    names = {model.partition("@")[0]: live for model, live in sorted(known.items(), key=lambda pair: pair[1])}
    offered = names if "@" not in incomplete else known
    return [
        CompletionItem(name, help="served now" if live else "no worker serves it")
        for name, live in offered.items()
        if name.startswith(incomplete)
    ]
