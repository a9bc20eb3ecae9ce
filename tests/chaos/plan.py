"""Which faults happen and when, drawn from a seed."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "kill worker",
    "stop worker",
    "kill picture process",
    "kill redis",
    "storage away",
    "storage refuses",
    "cut connections",
    "kill producer",
    "cancel job",
    "retry job",
    "remove job",
    "collect inputs",
]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """A fault, or a user's command, that happens once this share of all images is finished."""

    share: float
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCounts:
    """How many of each kind."""

    worker_kills: int = 20
    worker_stops: int = 3
    picture_kills: int = 20
    redis_kills: int = 5
    storage_outages: int = 2
    storage_refusals: int = 3
    cuts: int = 5
    producer_kills: int = 1
    cancels: int = 2
    retries: int = 3
    removals: int = 2
    collections: int = 2


def schedule(wanted: FaultCounts, seed: int) -> list[Fault]:
    """The faults in their order. None is in the last tenth of the work, so that each hits work in progress."""
    rng = random.Random(seed)
    counts: dict[Kind, int] = {
        "kill worker": wanted.worker_kills,
        "stop worker": wanted.worker_stops,
        "kill picture process": wanted.picture_kills,
        "kill redis": wanted.redis_kills,
        "storage away": wanted.storage_outages,
        "storage refuses": wanted.storage_refusals,
        "cut connections": wanted.cuts,
        "cancel job": wanted.cancels,
        "retry job": wanted.retries,
        "remove job": wanted.removals,
        "collect inputs": wanted.collections,
    }
    faults = [Fault(rng.uniform(0.01, 0.9), kind) for kind, count in counts.items() for _ in range(count)]
    # A submission takes little of a run's time.
    faults += [Fault(0.0, "kill producer")] * wanted.producer_kills
    return sorted(faults)
