"""Arguments that several commands take: a job, a length of time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from producer.cli.commands.completion import recent_jobs

F = TypeVar("F", bound=Callable[..., Any])
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def job_argument(function: F) -> F:
    """Adds `JOB`, which a shell completes."""
    return click.argument("job", shell_complete=recent_jobs)(function)


class Duration(click.ParamType[int]):
    """A length of time such as 90s, 30m, 12h or 7d, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Fails for what has no unit."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,9})([smhd])", value)
        if not found:
            self.fail(f"{value!r} is not a length of time such as 90s, 30m, 12h or 7d", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


DURATION = Duration()
