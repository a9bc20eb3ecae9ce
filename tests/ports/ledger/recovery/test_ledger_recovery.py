"""The ledger when workers die: charges, quarantine, outages; and what people take back: retry, remove."""

import pytest

from shared import keys
from shared.config import Settings
from shared.contract import ErrorInfo, ImageState, JobState, Options, WorkerInfo
from shared.errors import UnknownJobError, UsageError
from shared.ledger import Claim, NewChunk, Reaped, RedisLedger
from tests.support.jobs.ledgers import MODEL, claim, submit

pytestmark = pytest.mark.servers

OK, BAD, QUEUED = ImageState.SUCCEEDED, ImageState.FAILED, ImageState.QUEUED


def reap(ledger: RedisLedger) -> Reaped:
    return ledger.reap(MODEL, high_empty=True, bulk_empty=True)


def lose(hasty: RedisLedger, ledger: RedisLedger, worker: str, last_words: WorkerInfo | None = None) -> Claim:
    """The worker takes the only chunk and is not heard of again, after its last words."""
    (hint,) = ledger.refill(MODEL)
    lost = claim(hasty, hint, token=f"token of {worker}", worker=worker)
    if last_words:
        ledger.beat(last_words)
        ledger.leave(last_words)
    assert reap(ledger).leases == 1
    return lost


def beat(ledger: RedisLedger, worker: str) -> None:
    ledger.beat(WorkerInfo(worker=worker, host="h", pid=1, device="cpu", models=(), state="busy"))


def test_two_deaths_with_the_same_chunk_lead_to_quarantine(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """Each picture gets a chunk of its own, which names the references of the old one."""
    submit(ledger, chunks=1)
    lose(hasty, ledger, "w1")
    (hint,) = ledger.refill(MODEL)
    claim(hasty, hint, worker="w2")

    assert reap(ledger) == Reaped(leases=1, hints=0, quarantined=1)
    claims = []
    while hints := ledger.refill(MODEL):
        for hint in hints:
            claims.append(claim(ledger, hint, worker="w3"))
            ledger.commit(claims[-1], [OK], {})
    assert [(c.references, c.indices, c.quarantine) for c in claims] == [("000000", (i,), True) for i in range(3)]
    status = ledger.status("job")
    assert (status.state, status.total, status.succeeded) == (JobState.SUCCEEDED, 3, 3)
    assert [done.parent for done in ledger.done("job")] == ["000000"] * 3
    assert ledger.chunks("job") == ["000000"]


def test_a_quarantined_picture_is_never_condemned_by_deaths_of_its_worker(
    ledger: RedisLedger, hasty: RedisLedger
) -> None:
    """Only its own process can prove it poison; any number of killed workers only repeat it."""
    submit(ledger, chunks=1, size=1)
    for n in range(10):
        lose(hasty, ledger, f"w{n}")
    (hint,) = ledger.refill(MODEL)
    ledger.commit(claim(ledger, hint, worker="last"), [OK], {})

    assert ledger.status("job").state is JobState.SUCCEEDED


def test_a_worker_that_lives_is_not_charged(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """A lease may run out in a worker that is merely slow: its heartbeat says so."""
    submit(ledger, chunks=1)
    beat(ledger, "slow")
    for _ in range(5):
        lose(hasty, ledger, "slow")

    assert [hint.message.chunk for hint in ledger.refill(MODEL)] == ["000000"]


def test_a_worker_that_comes_back_takes_its_charge_back(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """A worker that was stopped and woken was not killed by the chunk."""
    submit(ledger, chunks=1)
    first = lose(hasty, ledger, "stopped")
    assert ledger.renew([first]) == ["lost"]
    lose(hasty, ledger, "dead")

    assert [hint.message.chunk for hint in ledger.refill(MODEL)] == ["000000"]


def test_handing_back_is_never_charged(ledger: RedisLedger) -> None:
    """A worker may be stopped any number of times."""
    submit(ledger, chunks=1)
    for n in range(5):
        (hint,) = ledger.refill(MODEL)
        ledger.release(claim(ledger, hint, worker=f"w{n}"))

    assert [hint.message.chunk for hint in ledger.refill(MODEL)] == ["000000"]


def test_after_an_outage_leases_get_a_grace(ledger: RedisLedger, settings: Settings) -> None:
    """When no reaper looked for long, nobody could renew; a holder that lives must not lose its work."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    held = claim(ledger, hint, worker="w")
    client = ledger.scripts.client
    client.zadd(keys.LEASES, {"job/000000": 1.0})
    seconds, _ = client.time()
    client.set(keys.REAPED, seconds - settings.lease_s, ex=keys.DAY)

    assert reap(ledger) == Reaped(0, 0, 0)
    assert ledger.renew([held]) == ["held"]
    client.zadd(keys.LEASES, {"job/000000": 1.0})
    assert reap(ledger) == Reaped(1, 0, 0)


def test_retry_takes_back_failed_images_only(ledger: RedisLedger) -> None:
    """The job runs again, the new chunk holds just those images, and the counters follow."""
    submit(ledger, chunks=2)
    for hint in ledger.refill(MODEL):
        held = claim(ledger, hint, worker="w")
        error = {int(hint.message.chunk) * 3 + 1: ErrorInfo("empty", "no bytes")}
        ledger.commit(held, [OK, BAD, OK], error)
    assert ledger.status("job").state is JobState.PARTIAL

    assert ledger.retry("job", [0, 1, 2]) == 1
    status = ledger.status("job")
    assert (status.state, status.queued, status.failed, status.finished_at) == (JobState.RUNNING, 1, 1, None)
    assert ledger.failures("job").keys() == {4}
    (hint,) = ledger.refill(MODEL)
    claimed = claim(ledger, hint, worker="w")
    assert (claimed.references, claimed.indices, claimed.quarantine) == ("000000", (1,), False)
    assert claimed.digest == "digest-0", "that of the references, which it shares with the chunk it repeats"
    ledger.commit(claimed, [OK], {})
    assert ledger.retry("job", range(6)) == 1
    assert ledger.image_states("job") == [OK, OK, OK, OK, QUEUED, OK]


def test_a_cancelled_job_cannot_be_retried(ledger: RedisLedger) -> None:
    """What was cancelled stays so; the message says what to do instead."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    held = claim(ledger, hint, worker="w")
    ledger.cancel("job")
    ledger.commit(held, [BAD] * 3, {})

    with pytest.raises(UsageError, match="cancelled"):
        ledger.retry("job", [0])


def test_a_removed_job_is_gone_with_everything_it_had(ledger: RedisLedger) -> None:
    """Its hints and leases find nothing, and nothing of it stays in Redis."""
    submit(ledger, chunks=5)
    held, sent = ledger.refill(MODEL)
    mine = claim(ledger, held, "w")
    ledger.remove("job")

    assert ledger.claim(sent.message, "t", "w") == "gone"
    assert ledger.renew([mine]) == ["lost"]
    assert ledger.refill(MODEL) == []
    assert ledger.scripts.client.keys(keys.JOB % "job" + "*") == []
    ledger.remove("job")  # as if the reply had been lost


def test_a_job_removed_during_its_submission_stays_removed(ledger: RedisLedger) -> None:
    """Its producer is told; nothing half of it is left for others to stumble over."""
    ledger.open_job("job", model=MODEL, options=Options(), priority="bulk", name=None)
    ledger.remove("job")

    with pytest.raises(UnknownJobError, match="removed"):
        ledger.register("job", NewChunk("000000", 0, 1, "d"))
    with pytest.raises(UnknownJobError, match="removed"):
        ledger.seal("job")
    assert ledger.scripts.client.keys(keys.JOB % "job" + "*") == []
    assert ledger.jobs(5) == []


def test_the_newest_jobs_are_found_behind_removed_ones(ledger: RedisLedger) -> None:
    """The index keeps the ids of removed jobs for `gc`; a listing looks past them."""
    for name in ("first", "second", "third"):
        submit(ledger, name, chunks=1)
    ledger.remove("third")
    ledger.remove("second")

    assert [status.job for status in ledger.jobs(1)] == ["first"]


def test_the_rate_after_a_retry_is_that_of_the_work_that_goes_on(ledger: RedisLedger) -> None:
    """Images done before do not count as done since."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    ledger.commit(claim(ledger, hint, worker="w"), [OK, BAD, OK], {})
    ledger.retry("job", [1])

    assert ledger.status("job").images_per_second == 0


def test_a_worker_that_was_told_to_stop_is_not_charged(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """Also when a second signal ended it before it could hand its chunk back."""
    submit(ledger, chunks=1)
    for n in range(5):
        info = WorkerInfo(worker=f"w{n}", host="h", pid=1, device="cpu", models=(), state="draining")
        lose(hasty, ledger, f"w{n}", info)

    assert [hint.message.chunk for hint in ledger.refill(MODEL)] == ["000000"]
