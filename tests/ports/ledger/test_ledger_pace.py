"""Rate and time left, on a clock that the test moves."""

import pytest

from shared import keys
from shared.contract import ImageState, Options
from shared.ledger import Claim, Hint, NewChunk, RedisLedger
from shared.ledger.eta import Estimate, estimate, started_at
from shared.ledger.scripts import Scripts
from tests.ports.ledger.ledger_machine import CLOCK
from tests.support.jobs.ledgers import MODEL, claim, enter, serve

pytestmark = pytest.mark.servers

SIZE = 10
NOTHING = Estimate(0.0, None)


class Run:
    """A job of 20 chunks of ten images, registered at second 1000 and sealed unless told otherwise."""

    def __init__(self, ledger: RedisLedger, *, sealed: bool = True) -> None:
        self.ledger = ledger
        self.waiting: list[Hint] = []
        self.held: list[Claim] = []
        ledger.scripts = Scripts(ledger.scripts.client, "the test's Redis", clock=CLOCK)
        self.now(1000)
        ledger.open_job("job", model=MODEL, options=Options(), priority="bulk", name=None)
        enter(ledger, "job", *(NewChunk(f"{n:06d}", n * SIZE, SIZE, "d") for n in range(20)))
        if sealed:
            ledger.seal("job")

    def now(self, seconds: float) -> None:
        self.seconds = seconds
        self.ledger.scripts.client.set("test:now", seconds, ex=600)

    def take(self, at: float, chunks: int) -> None:
        """So many chunks are taken up."""
        self.now(at)
        serve(self.ledger, slots=30)
        self.waiting += self.ledger.refill(MODEL)
        for _ in range(chunks):
            hint = self.waiting.pop(0)
            self.held.append(claim(self.ledger, hint))

    def finish(self, *moments: float, failed: int = 0) -> Estimate:
        """The chunk that is longest in hand is done at each of these moments."""
        for at in moments:
            self.now(at)
            states = [ImageState.FAILED] * failed + [ImageState.SUCCEEDED] * (SIZE - failed)
            self.ledger.commit(self.held.pop(0), states, {})
        return self.told()

    def told(self, at: float | None = None) -> Estimate:
        return estimate(self.row(), at or self.seconds)

    def row(self) -> dict[str, str]:
        found: dict[str, str] = self.ledger.scripts.client.hgetall(keys.JOB % "job")
        return found


def test_nothing_is_known_before_what_was_in_hand_at_the_first_result_is_done(ledger: RedisLedger) -> None:
    """Three chunks that began together end together: one or two of them say nothing of the rate."""
    run = Run(ledger)
    assert run.told(1050) == NOTHING
    run.take(1060, 3)
    assert run.told(1070) == NOTHING
    assert run.finish(1075) == NOTHING
    assert run.finish(1076) == NOTHING

    assert run.finish(1080) == Estimate(1.5, round(170 / 1.5, 1))


def test_what_lies_before_the_first_image_was_taken_up_does_not_count(ledger: RedisLedger) -> None:
    """Neither the wait for a worker, nor a worker that died with everything in hand before any result."""
    run = Run(ledger)
    run.take(5000, 1)
    ledger.release(run.held.pop())
    run.take(9000, 1)

    assert run.finish(9010) == Estimate(1.0, 190.0)
    assert started_at(run.row()) == 9000


def test_a_slow_start_is_forgotten_after_the_second_wave(ledger: RedisLedger) -> None:
    """The first result took forty seconds, those after it ten."""
    run = Run(ledger)
    run.take(1000, 1)
    assert run.finish(1040).rate == 0.25
    run.take(1040, 2)

    assert run.finish(1050).rate == 1.0


def test_the_rate_is_that_of_the_last_minutes(ledger: RedisLedger) -> None:
    """A fleet that grew is noticed."""
    run = Run(ledger)
    run.take(1000, 20)
    ledger.scripts.client.hset(keys.JOB % "job", "running", SIZE)  # as if one chunk had been in hand
    slow = run.finish(*range(1100, 1600, 100))
    fast = run.finish(*range(1510, 1650, 10))

    assert (slow.rate, fast.rate) == (0.1, 1.0)


def test_between_two_results_the_rate_holds_and_the_time_left_runs_down(ledger: RedisLedger) -> None:
    """Until the next result is overdue: then the rate falls, and the time left with it grows."""
    run = Run(ledger)
    run.take(1000, 1)
    run.finish(1010)
    run.take(1010, 1)
    run.finish(1020)

    assert [run.told(at) for at in (1020, 1025, 1030)] == [(1.0, 180.0), (1.0, 175.0), (1.0, 170.0)]
    late = run.told(1060)
    assert late.rate == 0.25
    assert late.eta_s is not None
    assert late.eta_s > 600


def test_there_is_no_time_left_while_more_images_may_come(ledger: RedisLedger) -> None:
    """An interrupted submission is not almost done."""
    run = Run(ledger, sealed=False)
    run.take(1000, 1)

    assert run.finish(1010) == Estimate(1.0, None)
    ledger.seal("job")
    assert run.told() == Estimate(1.0, 190.0)


def test_a_finished_run_has_the_rate_of_all_its_time(ledger: RedisLedger) -> None:
    """So that rate times duration is the number of images; and a retry is a run of its own."""
    run = Run(ledger)
    run.take(2000, 20)
    run.finish(*range(2031, 2050), failed=1)
    assert run.finish(2050, failed=1) == Estimate(4.0, None)

    run.now(90_000)
    assert ledger.retry("job", list(range(0, 200, SIZE))) == 20
    assert run.told(90_050) == NOTHING
    run.take(90_100, 20)
    for held in run.held:
        run.now(run.seconds + 1)
        ledger.commit(held, [ImageState.SUCCEEDED], {})

    assert run.told() == Estimate(1.0, None)
    assert started_at(run.row()) == 90_100


def test_a_record_of_an_older_release_has_a_rate_as_well(ledger: RedisLedger) -> None:
    """Its worker kept no moments: the time since the start is what there is."""
    run = Run(ledger)
    run.take(1000, 1)
    ledger.scripts.client.hdel(keys.JOB % "job", "run_at")

    assert run.finish(1010) == Estimate(1.0, 190.0)
