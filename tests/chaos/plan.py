"""Which fault happens when: drawn once from a seed, at shares of the work that is done."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill worker", "stop worker", "kill redis", "storage away", "cut connections", "kill producer"]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Happens once this share of all images is final."""

    share: float
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How many of each."""

    worker_kills: int = 20
    worker_stops: int = 3
    redis_kills: int = 5
    storage_outages: int = 2
    cuts: int = 5
    producer_kills: int = 1


def draw(wishes: Wishes, seed: int) -> list[Fault]:
    """The faults in their order. A job's last tenth stays free, so that each of them hits work in progress."""
    rng = random.Random(seed)
    counts: dict[Kind, int] = {
        "kill worker": wishes.worker_kills,
        "stop worker": wishes.worker_stops,
        "kill redis": wishes.redis_kills,
        "storage away": wishes.storage_outages,
        "cut connections": wishes.cuts,
    }
    faults = [Fault(rng.uniform(0.01, 0.9), kind) for kind, count in counts.items() for _ in range(count)]
    # A submission takes little of a run's time.
    faults += [Fault(0.0, "kill producer")] * wishes.producer_kills
    return sorted(faults)
