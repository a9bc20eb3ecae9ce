"""Which faults happen and when, drawn from a seed."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill worker", "stop worker", "kill redis", "storage away", "cut connections", "kill producer"]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """A fault that happens once this share of all images is finished."""

    share: float
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCounts:
    """How many faults of each kind."""

    worker_kills: int = 20
    worker_stops: int = 3
    redis_kills: int = 5
    storage_outages: int = 2
    cuts: int = 5
    producer_kills: int = 1


def schedule(wanted: FaultCounts, seed: int) -> list[Fault]:
    """The faults in their order. None is in the last tenth of the work, so that each hits work in progress."""
    rng = random.Random(seed)
    counts: dict[Kind, int] = {
        "kill worker": wanted.worker_kills,
        "stop worker": wanted.worker_stops,
        "kill redis": wanted.redis_kills,
        "storage away": wanted.storage_outages,
        "cut connections": wanted.cuts,
    }
    faults = [Fault(rng.uniform(0.01, 0.9), kind) for kind, count in counts.items() for _ in range(count)]
    # A submission takes little of a run's time.
    faults += [Fault(0.0, "kill producer")] * wanted.producer_kills
    return sorted(faults)
