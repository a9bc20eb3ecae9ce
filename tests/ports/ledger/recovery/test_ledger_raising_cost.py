"""What a job whose work raises costs the one beside it: real scripts, a clock and a worker that the test moves.

The worker is a device that does one chunk after the other and raises when it is told to. Claims, pauses, quarantine and
turns are the ledger's own; a picture in quarantine runs alone, in a quarter of the device's rate.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from shared.contract import ImageState, JobState
from shared.ledger import Claim, Hint, RedisLedger
from shared.ledger.scripts import Scripts
from tests.ports.ledger.ledger_machine import CLOCK
from tests.support.jobs.ledgers import MODEL, claim, serve, submit

pytestmark = pytest.mark.servers

SLOTS, SIZE = 3, 32
#: Seconds of the device for a chunk; seconds of a slot for an attempt that raises before it reaches the device.
CHUNK_S, AT_ONCE_S = 3.2, 0.05
ALONE_S = 4 * CHUNK_S / SIZE
WHY = "ZeroDivisionError: division by zero"

#: Seconds of the device that an attempt takes, and whether it raises then.
Work = Callable[[Claim], tuple[float, bool]]


def healthy(held: Claim) -> tuple[float, bool]:
    return (ALONE_S if held.quarantine else CHUNK_S), False


def late(held: Claim) -> tuple[float, bool]:
    return healthy(held)[0], True


def at_once(_: Claim) -> tuple[float, bool]:
    return 0.0, True


@dataclass
class Fleet:
    """One worker. `run` works until the job has ended, and returns the seconds since it began."""

    ledger: RedisLedger
    work: dict[str, Work]
    clock: float = 1000.0
    device_free: float = 0.0
    queued: dict[str, list[Hint]] = field(default_factory=lambda: {"high": [], "bulk": []})
    hands: list[tuple[float, Claim, bool]] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    sent: int = 0

    def __post_init__(self) -> None:
        self.ledger.scripts = Scripts(self.ledger.scripts.client, "the test's Redis", clock=CLOCK)
        self.at(self.clock)

    def at(self, seconds: float) -> None:
        self.clock = seconds
        self.ledger.scripts.client.set("test:now", repr(seconds))

    def run(self, job: str) -> float:
        began, look = self.clock, self.clock
        self.refill()
        while self.ledger.status(job).finished_at is None:
            self.take()
            end = min([look, *(end for end, _, _ in self.hands)])
            self.at(max(end, self.clock))
            if end == look:
                look += 2
                serve(self.ledger, slots=SLOTS)
                self.ledger.renew([held for _, held, _ in self.hands])
                self.ledger.reap(MODEL, high_empty=not self.queued["high"], bulk_empty=not self.queued["bulk"])
                self.refill()
            for entry in [entry for entry in self.hands if entry[0] <= self.clock]:
                self.hands.remove(entry)
                self.put_down(entry[1], raises=entry[2])
                self.refill()
        return self.clock - began

    def refill(self) -> None:
        for hint in self.ledger.refill(MODEL):
            self.queued[hint.priority].append(hint)

    def take(self) -> None:
        while len(self.hands) < SLOTS and (queue := self.queued["high"] or self.queued["bulk"]):
            self.sent += 1
            held = claim(self.ledger, queue.pop(0), f"token {self.sent}")
            job = held.message.job
            self.attempts[job] = self.attempts.get(job, 0) + 1
            seconds, raises = self.work[job](held)
            self.device_free = max(self.device_free, self.clock) + seconds
            self.hands.append((self.device_free if seconds else self.clock + AT_ONCE_S, held, raises))

    def put_down(self, held: Claim, *, raises: bool) -> None:
        if raises:
            self.ledger.release(held, raised=WHY)
        else:
            self.ledger.commit(held, [ImageState.SUCCEEDED] * len(held.indices), {})


def seconds_of(ledger: RedisLedger, chunks: int, beside: tuple[int, Work] | None = None) -> tuple[float, Fleet]:
    """How long a healthy job of so many chunks takes, beside another one."""
    ledger.scripts.client.flushall()
    fleet = Fleet(ledger, {"healthy": healthy, "other": beside[1] if beside else healthy})
    serve(ledger, slots=SLOTS)
    if beside:
        submit(ledger, "other", chunks=beside[0], size=SIZE)
    submit(ledger, "healthy", chunks=chunks, size=SIZE)
    return fleet.run("healthy"), fleet


@pytest.mark.slow
def test_a_job_that_raises_at_once_costs_the_one_beside_it_at_most_a_twentieth(ledger: RedisLedger) -> None:
    """300 chunks beside 300; none is tried for ever."""
    alone, _ = seconds_of(ledger, 300)
    beside, fleet = seconds_of(ledger, 300, (300, at_once))

    fleet.run("other")

    assert beside <= 1.05 * alone
    assert ledger.status("other").state is JobState.FAILED
    assert fleet.attempts["other"] < 3 * 300


@pytest.mark.slow
@pytest.mark.parametrize(("chunks", "others"), [(300, 100), (100, 300)], ids=["to its end", "at its side"])
def test_a_job_that_raises_late_costs_the_one_beside_it_no_more_than_a_healthy_one(
    ledger: RedisLedger, chunks: int, others: int
) -> None:
    """Neither while both wait, nor in what it still costs once all of it was tried."""
    healthy_beside, _ = seconds_of(ledger, chunks, (others, healthy))
    beside, fleet = seconds_of(ledger, chunks, (others, late))

    fleet.run("other")

    assert beside <= (1.02 if others < chunks else 1.005) * healthy_beside, (beside, healthy_beside)
    assert ledger.status("other").state is JobState.FAILED
