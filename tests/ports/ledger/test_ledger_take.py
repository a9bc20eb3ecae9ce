"""A chunk taken without a hint: by a worker that was asked for this very one."""

import pytest

from shared import keys
from shared.contract import ImageState, JobState
from shared.ledger import Claim, RedisLedger
from tests.support.jobs.ledgers import MODEL, claim, serve, submit

pytestmark = pytest.mark.servers

OK = [ImageState.SUCCEEDED]


def take(ledger: RedisLedger, token: str = "token") -> Claim:
    answer = ledger.take("job", "000000", token, "w")
    assert isinstance(answer, Claim)
    return answer


def test_a_waiting_chunk_is_taken_and_no_hint_follows(ledger: RedisLedger) -> None:
    """It is an attempt like any other; the same call repeated gets the same answer."""
    submit(ledger, chunks=1, size=1)
    taken = take(ledger)

    assert take(ledger) == taken
    assert (taken.message.attempt, taken.indices, taken.references) == (1, (0,), "000000")
    assert ledger.refill(MODEL) == []
    assert ledger.renew([taken]) == ["held"]
    ledger.commit(taken, OK, {})
    assert ledger.status("job").state is JobState.SUCCEEDED


def test_a_hint_on_its_way_becomes_stale(ledger: RedisLedger) -> None:
    """Nobody does the work twice, and nobody waits for the message."""
    submit(ledger, chunks=1, size=1)
    (hint,) = ledger.refill(MODEL)
    taken = take(ledger)

    assert taken.message.attempt == 2
    assert ledger.claim(hint.message, "other", "w2") == "stale"
    assert ledger.scripts.client.zcard(keys.HINTS % (MODEL, "bulk")) == 0


def test_what_another_holds_is_left_to_it(ledger: RedisLedger) -> None:
    """And what is done, cancelled or gone is told apart."""
    submit(ledger, chunks=1, size=1)
    (hint,) = ledger.refill(MODEL)
    held = claim(ledger, hint)
    assert ledger.take("job", "000000", "other", "w2") == "held"
    ledger.commit(held, OK, {})
    assert ledger.take("job", "000000", "other", "w2") == "done"
    submit(ledger, "second", chunks=1, size=1)
    ledger.cancel("second")
    assert ledger.take("second", "000000", "other", "w2") == "cancelled"
    assert ledger.take("none", "000000", "other", "w2") == "gone"


def test_after_a_death_it_goes_the_usual_way(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """The lease runs out, the death is charged, a hint is sent; or it is taken again without one."""
    submit(ledger, chunks=1, size=1)
    serve(ledger)
    assert isinstance(hasty.take("job", "000000", "token", "dead"), Claim)
    assert ledger.reap(MODEL, high_empty=True, bulk_empty=True).leases == 1
    again = take(ledger, "again")

    assert again.message.attempt == 2
    assert ledger.refill(MODEL) == []
    ledger.release(again)
    (hint,) = ledger.refill(MODEL)
    assert (hint.message.attempt, hint.priority) == (3, "high")
