"""The ledger when a job's id is used again: what was claimed, sent or charged before counts for nothing now."""

import pytest

from shared import keys
from shared.contract import ImageState, JobState, Options
from shared.errors import LostLeaseError, UnknownJobError
from shared.ledger import NewChunk, RedisLedger
from tests.support.jobs.ledgers import MODEL, claim, enter, submit

pytestmark = pytest.mark.servers

OK, BAD = ImageState.SUCCEEDED, ImageState.FAILED
ANOTHER = "another@0123456789ab"


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


def test_a_submission_that_goes_on_after_a_removal_leaves_no_gap_in_the_next_job(ledger: RedisLedger) -> None:
    """Its first chunk went with the removed job; a job with images that no chunk holds would never be whole."""
    submit(ledger, "nightly", chunks=1)
    ledger.remove("nightly")
    ledger.open_job("nightly", model=MODEL, options=Options(), priority="bulk", name=None)
    second = NewChunk("000001", 3, 3, "digest of the second")

    assert ledger.reserve("nightly", second) is False
    with pytest.raises(UnknownJobError, match="submit it again"):
        ledger.register("nightly", second)
    assert ledger.status("nightly").total == 0
    assert ledger.image_states("nightly") == []


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


def test_a_removed_job_cannot_be_cancelled_or_retried_back_into_being(ledger: RedisLedger) -> None:
    """Whoever acts at the same moment is told, and leaves nothing half of it behind: no key, no line in a listing."""
    submit(ledger, "gone", chunks=1)
    ledger.remove("gone")

    with pytest.raises(UnknownJobError, match="gone"):
        ledger.cancel("gone")
    assert ledger.scripts("retry", "gone", "000000", "[0]") == "gone"
    assert ledger.scripts.client.keys(keys.JOB % "gone" + "*") == []
    assert ledger.jobs(5) == []


def test_what_an_older_release_left_of_a_removed_job_breaks_no_listing(ledger: RedisLedger) -> None:
    """Its `cancel` could leave a key without the fields that every job has."""
    submit(ledger, "job", chunks=1)
    submit(ledger, "ghost", chunks=1)
    ledger.remove("ghost")
    ledger.scripts.client.hset(keys.JOB % "ghost", mapping={"cancel": "1", "sealed": "1"})
    ledger.scripts.client.expire(keys.JOB % "ghost", keys.DAY)

    assert [status.job for status in ledger.jobs(5)] == ["job"]
    with pytest.raises(UnknownJobError):
        ledger.status("ghost")


def test_two_who_retry_at_once_both_do(ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looked before the other acted; the ledger finds a free name for each one's chunk."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    ledger.commit(claim(ledger, hint), [BAD] * 3, {})
    seen = ledger.scripts.client.hgetall(keys.CHUNKS % "job")
    monkeypatch.setattr(ledger.scripts.client, "hgetall", lambda _key: seen)

    assert (ledger.retry("job", [0]), ledger.retry("job", [1, 2]), ledger.retry("job", [2])) == (1, 2, 0)
    assert ledger.image_states("job") == [ImageState.QUEUED] * 3


def test_the_index_forgets_no_job_that_was_submitted_again(ledger: RedisLedger) -> None:
    """`gc` forgets what it found gone a while ago; a listing without the job would hide it, and so would `gc`."""
    submit(ledger, "again")
    submit(ledger, "gone")
    ledger.remove("again")
    ledger.remove("gone")
    submit(ledger, "again")
    ledger.forget(["again", "gone"])

    assert ledger.known_jobs(expired=True) == ["again"]


def test_the_index_outlives_every_job_in_it(ledger: RedisLedger) -> None:
    """A job that is worked on for months must not be left out of listings and of what `gc` spares."""
    submit(ledger, chunks=1)
    client = ledger.scripts.client
    client.expire(keys.JOBS, 60)
    (hint,) = ledger.refill(MODEL)
    claim(ledger, hint)

    assert client.ttl(keys.JOBS) > client.ttl(keys.JOB % "job")


@pytest.mark.parametrize("was", ["waiting", "handed back"])
def test_an_id_used_again_for_another_model_is_sent_to_its_workers_only(was: str, ledger: RedisLedger) -> None:
    """The old one still has the job in turn, or a chunk of it to send again; its workers would only hand it back."""
    submit(ledger, "nightly", chunks=1)
    if was == "handed back":
        (hint,) = ledger.refill(MODEL)
        ledger.release(claim(ledger, hint))
    ledger.remove("nightly")
    ledger.open_job("nightly", model=ANOTHER, options=Options(), priority="bulk", name=None)
    enter(ledger, "nightly", NewChunk("000000", 0, 1, "digest"))

    assert ledger.refill(MODEL) == []
    assert [hint.message.attempt for hint in ledger.refill(ANOTHER)] == [1]
