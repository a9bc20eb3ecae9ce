"""This worker's line in `camq workers`."""

import os
import secrets
import socket
from typing import Literal

from shared.contract import StageTime, WorkerInfo
from shared.ledger import RedisLedger
from shared.outage import Outage
from worker.chunk.leases import LeaseKeeper
from worker.core.model.network import Network
from worker.timing.measurements import Measurements


class Heart:
    """Beats while the process lives; the ledger forgets a worker whose heart stopped."""

    def __init__(
        self, registry: RedisLedger, slots: int, keeper: LeaseKeeper, measurements: Measurements, outage: Outage
    ) -> None:
        self._registry = registry
        self._slots = slots
        self._keeper = keeper
        self._measurements = measurements
        self._outage = outage
        self._host = socket.gethostname()
        #: A worker's id is one incarnation of it: the same pid after a restart is another worker.
        self.worker = f"{self._host}-{os.getpid()}-{secrets.token_hex(2)}"
        #: For people; known once the network is loaded.
        self.device = ""
        #: Set once the model is loaded and warm.
        self.network: Network | None = None

    def info(self) -> WorkerInfo:
        """The line as it is now."""
        network, measured = self.network, self._measurements
        return WorkerInfo(
            worker=self.worker,
            host=self._host,
            pid=os.getpid(),
            device=self.device,
            models=(network.model,) if network else (),
            state=self._state(),
            images_per_second=measured.images_per_second,
            images_done=measured.images_done,
            slots=self._slots,
            stages={stage: StageTime(count, round(spent, 3)) for stage, (count, spent) in measured.totals().items()},
            batch_sizes=measured.batch_sizes(),
            waiting_for=self._outage.waiting_for,
        )

    def beat(self) -> None:
        """Shows the line for the next seconds."""
        self._registry.beat(self.info())

    def stop(self) -> None:
        """Takes the line away."""
        self._registry.leave(self.info())

    def _state(self) -> Literal["starting", "ready", "busy", "draining"]:
        if self._keeper.draining:
            return "draining"
        if self.network is None:
            return "starting"
        return "busy" if self._keeper.held else "ready"
