"""A picture in quarantine that comes to no end: when it is tried again, and when it is given up."""

import pytest

from shared import keys
from shared.contract import ImageState, JobState
from shared.ledger import Claim, RedisLedger
from shared.ledger.backlog import read_backlog
from shared.ledger.worker_side import LONGEST_PAUSE_S, QUARANTINE_TRIES
from tests.support.jobs.ledgers import claim, serve, submit
from tests.support.jobs.scripted_worker import CARD

pytestmark = pytest.mark.servers

OK = ImageState.SUCCEEDED
MODEL = "net@0123456789ab"


def suspect(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """A job of one picture, which is in quarantine."""
    submit(ledger, chunks=1, size=1)
    for n in range(2):
        die(ledger, hasty, n)


def die(ledger: RedisLedger, hasty: RedisLedger, n: int) -> None:
    (hint,) = ledger.refill(MODEL)
    claim(hasty, hint, f"token of w{n}", f"w{n}")
    assert ledger.reap(MODEL, high_empty=True, bulk_empty=True).leases == 1


def come_due(ledger: RedisLedger) -> float:
    """Seconds until the picture would have been sent again; now it is due."""
    client = ledger.scripts.client
    [(member, due)] = client.zrange(keys.LATER % MODEL, 0, -1, withscores=True)
    seconds, micros = client.time()
    client.zadd(keys.LATER % MODEL, {member: 1.0})
    return float(due - seconds - micros / 1e6)


def take(ledger: RedisLedger) -> Claim:
    (hint,) = ledger.refill(MODEL)
    return claim(ledger, hint)


def test_what_ends_its_process_in_nobody_s_stage_waits_longer_each_time_and_is_failed(
    ledger: RedisLedger, hasty: RedisLedger
) -> None:
    """Else one picture would keep workers busy with starting processes, and its job running, for ever."""
    suspect(ledger, hasty)
    pauses = []
    for _ in range(QUARANTINE_TRIES - 1):
        ledger.release(take(ledger), spent=True)
        assert ledger.refill(MODEL) == []
        pauses.append(come_due(ledger))
    assert ledger.status("job").state is JobState.RUNNING
    ledger.release(take(ledger), spent=True)

    assert pauses[:4] == pytest.approx([1, 2, 4, 8], abs=0.5)
    assert max(pauses) == pytest.approx(LONGEST_PAUSE_S, abs=0.5)
    assert sum(pauses) / 60 == pytest.approx(58.5, abs=0.2)  # what the comment at QUARANTINE_TRIES counts on
    assert ledger.status("job").state is JobState.FAILED
    error = ledger.failures("job")[0]
    assert (error.code, f"its own process ended {QUARANTINE_TRIES} times" in error.message) == ("inference", True)
    assert ledger.refill(MODEL) == []
    assert ledger.retry("job", [0]) == 1
    ledger.commit(take(ledger), [OK], {})
    assert ledger.status("job").state is JobState.SUCCEEDED


def test_a_picture_that_takes_every_worker_down_is_failed_in_the_end(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """Not as poison, for its own stages ended no process; hand-backs and deaths count together."""
    suspect(ledger, hasty)
    ledger.release(take(ledger), spent=True)
    come_due(ledger)
    for n in range(QUARANTINE_TRIES - 1):
        assert ledger.status("job").state is JobState.RUNNING
        die(ledger, hasty, n)

    error = ledger.failures("job")[0]
    assert (ledger.status("job").failed, error.code) == (1, "inference")
    assert f"its worker died {QUARANTINE_TRIES - 1} times" in error.message


def test_stops_and_outages_bring_no_picture_nearer_to_its_end(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """They hand it back at once, any number of times."""
    suspect(ledger, hasty)
    for _ in range(QUARANTINE_TRIES + 5):
        ledger.release(take(ledger))

    ledger.commit(take(ledger), [OK], {})
    assert ledger.status("job").state is JobState.SUCCEEDED


def test_a_picture_that_waits_for_its_next_try_is_work(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """An autoscaler must not take the last worker away from it; nor does a cancelled job wait for it."""
    ledger.publish(CARD)
    serve(ledger)
    suspect(ledger, hasty)
    ledger.scripts.client.zadd(keys.MODELS, {MODEL: 1.0})
    ledger.release(take(ledger), spent=True)

    assert read_backlog(ledger.scripts)[MODEL, "bulk"].queued == 1
    ledger.cancel("job")
    assert ledger.status("job").state is JobState.CANCELLED
    come_due(ledger)
    assert ledger.refill(MODEL) == []


def test_a_picture_that_is_taken_waits_no_more(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """Else it would be sent once more in the middle of its work; and once it was given up it has its end."""
    suspect(ledger, hasty)
    waits = take(ledger)
    ledger.release(waits, spent=True)
    chunk = waits.message.chunk

    taken = ledger.take("job", chunk, "token", "w")
    assert isinstance(taken, Claim)
    assert ledger.scripts.client.zcard(keys.LATER % MODEL) == 0
    ledger.release(taken)
    for _ in range(QUARANTINE_TRIES - 1):
        taken = ledger.take("job", chunk, "token", "w")
        assert isinstance(taken, Claim)
        ledger.release(taken, spent=True)
    assert ledger.take("job", chunk, "token", "w") == "done"
