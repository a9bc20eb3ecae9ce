"""Why images of a job failed, for a page that asks every second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.results.originals import sources
from producer.web.kit.failures import Failures, group, named

if TYPE_CHECKING:
    from producer.services import Services
    from shared.contract import JobStatus

#: Jobs whose names of failed images are remembered.
_JOBS_KEPT = 20


class FailedNames:
    """Reads the names of failed images once. Safe to call from many threads: at worst two read the same name."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # The moment too: a removed job's id may be given to another one.
        self._known: dict[tuple[str, str], dict[int, str]] = {}

    def of(self, status: JobStatus) -> Failures:
        """The failures of the job at this moment, its names read as far as they were not known."""
        ledger = self._services.ledger
        errors = ledger.failures(status.job) if status.failed else {}
        known = self._known.pop((status.job, status.created_at), {})
        wanted = named(errors)
        missing = [index for index in wanted if index not in known]
        if missing:
            known = known | sources(ledger, self._services.store, status.job, missing)
        while len(self._known) >= _JOBS_KEPT:
            self._known.pop(next(iter(self._known)), None)
        self._known[status.job, status.created_at] = known
        return group(errors, {index: known[index] for index in wanted if index in known}, status.failed)
