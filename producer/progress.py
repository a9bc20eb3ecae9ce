"""Progress for people, on stderr: a bar on a terminal, else a plain line now and then."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Self

from producer.formatting import count, rate, time_left
from shared.text import visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from shared.contract import JobStatus

#: Between two plain lines: often enough to see that it lives, seldom enough for a log file.
PLAIN_EVERY_S = 5.0
#: A narrower terminal has a short bar, so that what is said behind it has its place.
_WIDE = 100

log = logging.getLogger("camq")


class Display:
    """Shows an upload, then a job. Silent when not enabled, apart from notices, which go to the log then."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._bar = _bar() if enabled and sys.stderr.isatty() else None
        self._tasks: dict[str, TaskID] = {}
        self._next_line = time.monotonic() + PLAIN_EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def notice(self, text: str) -> None:
        """A sentence, above the bar."""
        if not self._enabled:
            log.warning(text)
        elif self._bar:
            self._bar.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)
        else:
            print(visible(text), file=sys.stderr, flush=True)  # noqa: T201 - this is the user interface

    def upload(self, done: int, total: int | None) -> None:
        """Pictures that are in the object store."""
        self._show("uploading", done, total, "")

    def status(self, status: JobStatus, within: str = "") -> None:
        """A job's counters; `within` says how far it is within its pictures, and what time that leaves."""
        parts = []
        if status.images_per_second:
            parts.append(rate(status.images_per_second))
        elif status.running and not within:  # the first chunk may take a while: that it is being worked on is news
            parts.append(f"{status.running:,} in work")
        if not status.state.finished:
            parts.append(within or time_left(status))
        if status.failed:
            parts.append(f"{status.failed:,} failed")
        self._show("explaining", status.done, status.total if status.sealed else None, ", ".join(filter(None, parts)))

    def fetch(self, done: int, total: int) -> None:
        """Results that are in the user's folder."""
        self._show("fetching", done, total, "")

    def _show(self, what: str, done: int, total: int | None, more: str) -> None:
        if self._bar:
            self._bar.start()  # with the first news, so that what was printed before stands above the bar
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total, more="")
            self._bar.update(self._tasks[what], completed=done, total=total, more=more)
        elif self._enabled and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PLAIN_EVERY_S
            amount = count(done, "image") if total is None else f"{done:,} of {count(total, 'image')}"
            self.notice(f"{what}: {amount}{', ' if more else ''}{more}")


def _bar() -> Progress:
    from rich.console import Console, RenderableType
    from rich.constrain import Constrain
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    console = Console(stderr=True)

    class Bar(Progress):
        """Leaves room for the ^C that a terminal writes: on a full line it would begin a new one, and the bar stand
        there twice."""

        def get_renderable(self) -> RenderableType:
            return Constrain(super().get_renderable(), max(console.width - len("^C") - 1, 1))

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=32 if console.width >= _WIDE else 8),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
    )
    # Redirected, what a command prints to stdout would come out on stderr, and a pipe would miss it.
    return Bar(*columns, console=console, expand=True, redirect_stdout=False, redirect_stderr=False)
