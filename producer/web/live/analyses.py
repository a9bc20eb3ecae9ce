"""The summary of a job for its page: read again when the job has moved, and not all the time while it runs."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from producer.results.analysis.accuracy import analyse
from producer.web.kit.answers import answers
from producer.web.live.pictures import MOST

if TYPE_CHECKING:
    from producer.services import Services
    from producer.web.kit.answers import Answers
    from shared.contract import JobStatus

#: Jobs whose summary is remembered.
_JOBS_KEPT = 20
#: Of a job that runs, the summary is made again after so many seconds at least, and so many times what it took.
AGAIN_S, SHARE = 10.0, 10


class _Made(NamedTuple):
    """A summary, how far the job was then, and until when it will do while the job runs."""

    moment: tuple[object, ...]
    found: Answers | None
    until: float


class Analyses:
    """Safe to call from many threads; one summary is made at a time, since each takes a core."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: By job, the oldest first: an id may be used again for another job.
        self._known: dict[tuple[str, str], _Made] = {}
        self._lock = Lock()

    def of(self, status: JobStatus) -> Answers | None:
        """What the results of the job say by now, or, while it runs, said a short while ago."""
        if known := self._fresh(status):
            return known.found
        with self._lock:
            if known := self._fresh(status):  # another has made it meanwhile
                return known.found
            found, took = self._made(status.job)
            job = status.job, status.created_at
            self._known.pop(job, None)
            while len(self._known) >= _JOBS_KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[job] = _Made(_moment(status), found, time.monotonic() + max(AGAIN_S, SHARE * took))
            return found

    def at_hand(self, status: JobStatus) -> bool:
        """Whether nothing has to be read for it."""
        return self._fresh(status) is not None

    def _fresh(self, status: JobStatus) -> _Made | None:
        known = self._known.get((status.job, status.created_at))
        runs = not status.finished_at
        return (
            known if known and (known.moment == _moment(status) or (runs and time.monotonic() < known.until)) else None
        )

    def _made(self, job: str) -> tuple[Answers | None, float]:
        """The summary, and how many seconds it took."""
        began, left_out = time.monotonic(), list[str]()
        ledger, store, threads = self._services.ledger, self._services.store, self._services.settings.io_threads
        found = analyse(ledger, store, job, threads=threads, notice=left_out.append, skip_damaged=True)
        looked = answers(found.summary, found.border[:MOST], ledger.options(job).colormap, left_out)
        return looked, time.monotonic() - began


def _moment(status: JobStatus) -> tuple[object, ...]:
    return status.succeeded, status.failed, status.finished_at
