"""Finds lost work: leases that ran out, messages that never arrived, an idle queue."""

import structlog

from shared.broker import Sender
from shared.ledger import RedisLedger
from shared.storage import ObjectStore
from worker.timing.measurements import Measurements
from worker.upkeep.restore import restore

log = structlog.get_logger()


class Reaper:
    """One in every worker; the ledger's scripts decide, so any number of them is safe."""

    def __init__(
        self, ledger: RedisLedger, store: ObjectStore, sender: Sender, model: str, measurements: Measurements
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._sender = sender
        self._model = model
        self._measurements = measurements

    def reap(self) -> None:
        """One look. What it brings back is sent again at once."""
        empty = {priority: self._sender.depth(self._model, priority) == 0 for priority in ("high", "bulk")}
        found = self._ledger.reap(self._model, high_empty=empty["high"], bulk_empty=empty["bulk"])
        self._measurements.reaped(found)
        if found.leases or found.hints:
            log.warning(
                "lost work found", expired_leases=found.leases, lost_messages=found.hints, quarantined=found.quarantined
            )
        if found.broken:
            log.error("chunk records that cannot be read were left alone", chunks=found.broken)
        self.refill()
        for job in found.stranded:
            log.error(
                "images that nobody held were queued again", job=job, images=restore(self._ledger, self._store, job)
            )

    def refill(self) -> None:
        """Fills the broker's queue up to its mark."""
        self._sender.send(self._ledger.refill(self._model))
