"""The ledger when a job's id is used again: what was claimed, sent or charged before counts for nothing now."""

import pytest

from shared.errors import LostLeaseError
from shared.ledger import RedisLedger
from shared.states import ImageState, JobState
from tests.ledgers import MODEL, claim, submit

pytestmark = pytest.mark.servers

OK, BAD = ImageState.SUCCEEDED, ImageState.FAILED


def test_a_claim_on_a_removed_job_is_lost_although_the_new_one_has_the_same_attempt(ledger: RedisLedger) -> None:
    """The pictures may be others. Attempts count from 1 again, so it is the claim's token that is the fence."""
    submit(ledger, "nightly", chunks=1)
    (hint,) = ledger.refill(MODEL)
    old = claim(ledger, hint, "token of A", "A")
    ledger.remove("nightly")
    submit(ledger, "nightly", chunks=1)
    (hint,) = ledger.refill(MODEL)
    new = claim(ledger, hint, "token of B", "B")
    assert old.message == new.message

    assert ledger.renew([old, new]) == ["lost", "held"]
    with pytest.raises(LostLeaseError):
        ledger.commit(old, [BAD] * 3, {})
    with pytest.raises(LostLeaseError):
        ledger.release(old)
    ledger.commit(new, [OK] * 3, {})
    with pytest.raises(LostLeaseError):
        ledger.commit(old, [BAD] * 3, {})
    assert ledger.status("nightly").state is JobState.SUCCEEDED


def test_a_woken_worker_s_charge_is_taken_back_whatever_it_asks_first(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """It may commit or hand back before its next renewal; then another death leads to no quarantine."""
    submit(ledger, chunks=1)
    for worker, ask in (("w1", lambda old: ledger.commit(old, [OK] * 3, {})), ("w2", ledger.release)):
        (hint,) = ledger.refill(MODEL)
        stopped = claim(hasty, hint, f"token of {worker}", worker)
        assert ledger.reap(MODEL, high_empty=True, bulk_empty=True).leases == 1
        with pytest.raises(LostLeaseError):
            ask(stopped)

    (hint,) = ledger.refill(MODEL)
    claim(hasty, hint, "token of w3", "w3")
    assert ledger.reap(MODEL, high_empty=True, bulk_empty=True).quarantined == 0
