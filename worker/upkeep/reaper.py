"""Finds lost work: leases that ran out, messages that never arrived, an idle queue."""

import structlog

from shared.broker import Sender
from shared.ledger import RedisLedger
from worker.timing.measurements import Measurements

log = structlog.get_logger()


class Reaper:
    """One in every worker; the ledger's scripts decide, so any number of them is safe."""

    def __init__(self, ledger: RedisLedger, sender: Sender, model: str, measurements: Measurements) -> None:
        self._ledger = ledger
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
        for job, images in found.lost:
            log.error("images failed because their chunk's record was damaged or removed", job=job, images=images)
        self.refill()

    def refill(self) -> None:
        """Fills the broker's queue up to its mark."""
        self._sender.send(self._ledger.refill(self._model))
