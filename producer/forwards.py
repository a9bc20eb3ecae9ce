"""How far an evaluation is within its pictures, each of which takes many forwards: by what its workers report."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from producer.formatting import duration
from shared.contract import forwards
from shared.errors import UnreachableError

if TYPE_CHECKING:
    from shared.contract import JobStatus, Options
    from shared.ledger import RedisLedger

#: Between two looks at the workers, which report every few seconds.
_EVERY_S = 2.0


class Forwards:
    """Counts what went through the networks of the model's workers since it was made; so other jobs count as well, as
    far as this one could have made as many forwards by then."""

    def __init__(self, ledger: RedisLedger, options: Options) -> None:
        self._ledger, self._each = ledger, forwards(options)
        self._before: dict[str, int] = {}
        self._already: int | None = None
        self._counted = 0
        self._began = self._next = time.monotonic()
        self._said = ""

    def of(self, status: JobStatus) -> str:
        """Such as `1,250 of about 7,500 forwards, 40 s left`; the same for a moment, until there is news."""
        now = time.monotonic()
        if now >= self._next and not status.state.finished:
            self._next = now + _EVERY_S
            with suppress(UnreachableError):  # whoever follows the job says so
                self._look(status.model)
            self._said = self._words(status, now - self._began)
        return self._said

    def _words(self, status: JobStatus, seconds: float) -> str:
        if self._already is None:
            self._already = status.done * self._each
        total, most = status.total * self._each, (status.done + status.running) * self._each
        made = max(status.done * self._each, min(self._already + self._counted, most))
        said = f"{made:,} of about {total:,}{'' if status.sealed else ' so far'} forwards"
        if not status.sealed or made <= self._already:
            return said
        return f"{said}, {duration(seconds * (total - made) / (made - self._already))} left"

    def _look(self, model: str) -> None:
        for worker in self._ledger.workers():
            if model in worker.models:
                now = sum(size * times for size, times in worker.batch_sizes.items())
                self._counted += max(0, now - self._before.get(worker.worker, now))
                self._before[worker.worker] = now
