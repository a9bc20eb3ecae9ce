"""How commands wait for a job, fetch its results, and end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from producer.cli.common import emit, say
from producer.formatting import accuracy, count, duration, elapsed_s, outcome, rate
from shared.contract import JobState
from shared.errors import MessageError, NewerSchemaError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    from producer.services import Services
    from shared.contract import ImageRecord, JobStatus


@contextmanager
def resumable_watch(job: str) -> Iterator[None]:
    """After Ctrl-C, says that the job continues and how to watch it again."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"\nstopped watching; the job continues. To watch it again:\n  camq watch {job}")
        raise


def wait_for(reach: Services, job: str) -> JobStatus:
    """Follow the job with a progress display until it has finished; prints and returns its final status."""
    from producer.forwards import Forwards
    from producer.progress import Display
    from producer.watch import follow

    forwards = None
    with suppress(UnreachableError, MessageError, NewerSchemaError):  # it only says how far an evaluation is
        options = reach.ledger.options(job)
        forwards = Forwards(reach.ledger, options) if options.evaluate else None
    with Display() as display, closing(follow(reach.ledger, job, display.notice)) as statuses:
        for found in statuses:
            display.status(found, forwards.of(found) if forwards else "")
    say(f"job {job} {found.state}: {outcome(found)}{_in_time(found)}")
    return found


def exit_status(final: JobStatus) -> int:
    """The exit status of a command that waited for this job."""
    return 0 if final.state is JobState.SUCCEEDED else 1


def conclude(final: JobStatus, *, as_json: bool) -> int:
    """End a command that waited: print where to see failures; the exit status."""
    if as_json:
        emit(final)
    if final.failed:
        say(f"to see why images failed: camq results {final.job}")
    return exit_status(final)


def fetch(reach: Services, job: str, folder: Path, *, as_json: bool, names: str = "index") -> Iterator[ImageRecord]:
    """The job's records while its files are downloaded into `folder`, with progress."""
    from producer.progress import Display
    from producer.results.download import download

    total = reach.ledger.status(job).total
    threads = reach.settings.io_threads
    records = download(reach.ledger, reach.store, job, folder, threads=threads, names=names, notice=say)
    mixed = as_json and sys.stdout.isatty()  # a bar among the lines of JSON would spoil both
    with Display(enabled=not mixed) as display:
        for done, record in enumerate(records, 1):
            yield record
            display.fetch(done, total)


class Right:
    """How often a job was right, counted while its records pass."""

    def __init__(self, reach: Services, job: JobStatus) -> None:
        from producer.results.analysis.accuracy import Tally

        card = reach.ledger.card(job.model)
        self._job = job
        self._tally = Tally(reach.ledger.options(job.job), card.outputs if card else "softmax")

    def counted(self, found: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
        """The same records."""
        for record in found:
            self._tally.add(record)
            yield record

    def say(self, more: str) -> None:
        """One line, and where more of it is; nothing without ground truth."""
        if images := self._tally.with_truth:
            found = self._tally.summary(self._job.job, self._job.model)
            say(f"{count(images, 'image')} with ground truth; {accuracy(found)}. The report says which. {more}")


def _in_time(found: JobStatus) -> str:
    if not found.images_per_second or found.state is JobState.CANCELLED:
        return ""
    return f", in {duration(elapsed_s(found))} ({rate(found.images_per_second)})"
