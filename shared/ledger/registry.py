"""Who serves what: workers' heartbeats and models' cards."""

from typing import TypeVar

from shared import keys
from shared.contract import ModelCard, WorkerInfo, decode, encode
from shared.errors import MessageError
from shared.ledger.scripts import LedgerSide

T = TypeVar("T")


class RedisRegistry(LedgerSide):
    """Which workers are alive, and which models they serve."""

    def beat(self, info: WorkerInfo) -> None:
        """The worker is alive."""
        line = encode(info).decode()
        self.scripts("beat", info.worker, line, info.slots, self.settings.heartbeat_ttl_s, *info.models)

    def leave(self, info: WorkerInfo) -> None:
        """The worker is gone now."""
        self.scripts("leave", info.worker, info.slots, *info.models)

    def workers(self) -> list[WorkerInfo]:
        """The live workers.

        A worker whose line expired is not listed.
        """
        client = self.scripts.client
        with self.scripts.translated():
            names = client.zrange(keys.WORKERS, 0, -1)
            lines = client.mget([keys.WORKER % name for name in names]) if names else []
        found = (_readable(line, WorkerInfo) for line in lines if line is not None)
        return sorted((info for info in found if info is not None), key=lambda info: info.worker)

    def publish(self, card: ModelCard) -> None:
        """What the model offers; kept for three months after its last worker left."""
        self.scripts("publish", card.model, encode(card).decode())

    def card(self, model: str) -> ModelCard | None:
        """A model's card by its full `name@digest`."""
        with self.scripts.translated():
            raw = self.scripts.client.get(keys.MODEL % model)
        return None if raw is None else _readable(raw, ModelCard)

    def models(self) -> dict[str, bool]:
        """Every known model, newest first, and whether a live worker serves it."""
        live = {model for info in self.workers() if info.state != "starting" for model in info.models}
        with self.scripts.translated():
            known = self.scripts.client.zrevrange(keys.MODELS, 0, -1)
        return {model: model in live for model in known}


def _readable(line: str, kind: type[T]) -> T | None:
    """The value; None for a line that camq did not write, which must not hide the others."""
    try:
        return decode(line, kind)
    except MessageError:
        return None
