"""What users do with jobs while everything breaks: cancel, retry, remove, collect; and whether it was done."""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from producer.results import records as results
from shared import keys
from shared.contract import ImageRecord, ImageRef, ImageState, decode_lines
from shared.errors import UnknownJobError
from shared.ledger import RedisLedger
from shared.storage import S3Store
from tests.chaos.environment import Environment

#: Exit status of a command that does not know the job.
UNKNOWN = 3


@dataclass(slots=True)
class Errand:
    """Commands of one user, one after the other; each is repeated until it succeeds, as its help says."""

    name: str
    commands: list[list[str]]
    #: Commands that had to be repeated.
    repeated: int = 0
    _process: "subprocess.Popen[bytes] | None" = field(default=None)

    def tend(self, environment: Environment) -> bool:
        """Starts what is next; whether all is done."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return False
            # The answer of a removal may be lost after it was done.
            done = status == 0 or (status == UNKNOWN and self.commands[0][0] == "rm")
            self.repeated += not done
            self._process = None
            if done:
                del self.commands[0]
        if self.commands:
            self._process = environment.command(self.name, *self.commands[0])
        return not self.commands


def cancelled_problems(
    ledger: RedisLedger, store: S3Store, job: str, differs: Callable[[ImageRecord], str | None]
) -> Iterator[str]:
    """A cancelled job has ended, each of its images once, and what succeeded is right."""
    status = ledger.status(job)
    if not status.state.finished or status.succeeded + status.failed + status.cancelled != status.total:
        yield f"lost images: {status}"
    counted = Counter(ledger.image_states(job))
    if counted[ImageState.CANCELLED] != status.cancelled or counted[ImageState.SUCCEEDED] != status.succeeded:
        yield f"the counters say {status}, the images {dict(counted)}"
    for line in results.records(ledger, store, job):
        if line.state is not ImageState.CANCELLED and (reason := differs(line)):
            yield f"image {line.index}: {reason}"


def removed_problems(ledger: RedisLedger, store: S3Store, job: str) -> Iterator[str]:
    """Of a removed job nothing is left but its inputs, which `gc` deletes."""
    with suppress(UnknownJobError):
        yield f"it is still known: {ledger.status(job)}"
    if left := [key for key, _ in store.list(keys.job_prefix(job))]:
        yield f"{len(left)} objects are left: {left[:5]}"


def input_problems(store: S3Store, jobs: list[str]) -> Iterator[str]:
    """Every input of a kept job is there, and nothing else: the last collection deleted what the removed jobs left."""
    kept = {ref.key for job in jobs for ref in _references(store, job) if ref.key}
    there = {key for key, _ in store.list(keys.INPUTS)}
    if lost := kept - there:
        yield f"{len(lost)} inputs of kept jobs are gone: {sorted(lost)[:5]}"
    if left := there - kept:
        yield f"{len(left)} inputs that no job uses are left: {sorted(left)[:5]}"


def _references(store: S3Store, job: str) -> Iterator[ImageRef]:
    for key, _ in store.list(f"{keys.job_prefix(job)}chunks/"):
        yield from decode_lines(store.get(key), ImageRef)
