"""The summary of a job for its page: read again when the job has moved, and by one reader at a time."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from producer.results.analysis.accuracy import analyse
from producer.web.kit.answers import answers

if TYPE_CHECKING:
    from producer.services import Services
    from producer.web.kit.answers import Answers
    from shared.contract import JobStatus

#: Jobs whose summary is remembered.
_JOBS_KEPT = 20


class Analyses:
    """Safe to call from many threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: By job and how far it was; the oldest first.
        self._known: dict[tuple[object, ...], Answers | None] = {}
        #: One at a time: each takes a core for as long as it runs.
        self._lock = Lock()

    def of(self, status: JobStatus) -> Answers | None:
        """What the results of the job say by now."""
        moment = status.job, status.created_at, status.succeeded, status.failed, status.finished_at
        with self._lock:
            if moment not in self._known:
                ledger, store, left_out = self._services.ledger, self._services.store, list[str]()
                threads = self._services.settings.io_threads
                found = analyse(ledger, store, status.job, threads=threads, notice=left_out.append, skip_damaged=True)
                while len(self._known) >= _JOBS_KEPT:
                    self._known.pop(next(iter(self._known)))
                colormap = ledger.options(status.job).colormap
                self._known[moment] = answers(found.summary, found.border, colormap, left_out)
            return self._known[moment]
