"""How long a killed worker's chunks lie still: from the kill until another attempt of each is being worked on."""

import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared import keys
from shared.ledger import RedisLedger


@dataclass(slots=True)
class _Waiting:
    job: str
    chunk: str
    attempt: int
    since: float
    disturbed: bool = False


@dataclass(slots=True)
class Recovery:
    """Reads the chunks' records in the ledger; looks are as frequent as the caller's."""

    ledger: RedisLedger
    seconds: list[float] = field(default_factory=list)
    #: Those during which a service or every worker was away as well, so that nobody could have gone on.
    disturbed: list[float] = field(default_factory=list)
    _waiting: list[_Waiting] = field(default_factory=list)

    def killed(self, worker: str, jobs: list[str]) -> int:
        """Notes the chunks that the worker held; how many. Called right after its death."""
        held = [
            _Waiting(job, chunk, record["a"], time.monotonic())
            for job in jobs
            for chunk, record in self._records(job).items()
            if record["s"] == "l" and record.get("w") == worker
        ]
        self._waiting += held
        return len(held)

    def look(self, *, outage: bool) -> None:
        """Notes the seconds of those that are being worked on again, or were split for quarantine."""
        for item in list(self._waiting):
            item.disturbed |= outage
            raw = self.ledger.scripts.client.hget(keys.CHUNKS % item.job, item.chunk)
            record = msgspec.json.decode(raw)
            if (record["a"] > item.attempt and record["s"] in "ld") or record["s"] in "xc":
                (self.disturbed if item.disturbed else self.seconds).append(time.monotonic() - item.since)
                self._waiting.remove(item)

    @property
    def unfinished(self) -> int:
        """Chunks that nobody took up yet."""
        return len(self._waiting)

    def sent_again(self, jobs: list[str]) -> int:
        """Images that were sent more than once, counted once for each time: an upper bound of repeated work."""
        return sum(record["n"] * max(record["a"] - 1, 0) for job in jobs for record in self._records(job).values())

    def _records(self, job: str) -> dict[str, dict[str, Any]]:
        raw = self.ledger.scripts.client.hgetall(keys.CHUNKS % job)
        return {chunk: msgspec.json.decode(line) for chunk, line in raw.items()}


def percentile(values: list[float], share: float) -> float | None:
    """The value that `share` of them do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
