"""The ledger on a real Redis: what is claimed, committed, lost and found, and what it all counts to."""

import pytest

from shared import keys
from shared.config import Settings
from shared.contract import ChunkMessage, ErrorInfo, ImageState, JobState, ModelCard, Options
from shared.errors import LostLeaseError, UnknownJobError, UnreachableError, UsageError
from shared.ledger import NewChunk, Reaped, RedisLedger
from tests.support.jobs.ledgers import MODEL, claim, enter, serve, submit

pytestmark = pytest.mark.servers

OK, BAD = ImageState.SUCCEEDED, ImageState.FAILED


def test_a_job_goes_from_queued_through_running_to_its_end(ledger: RedisLedger) -> None:
    """Counters follow each step, and the last commit ends the job."""
    submit(ledger)
    queued = ledger.status("job")
    first, second = ledger.refill(MODEL)
    one = claim(ledger, first)
    running = ledger.status("job")
    ledger.commit(one, [OK, OK, OK], {})
    other = claim(ledger, second)
    ledger.commit(other, [OK, BAD, OK], {4: ErrorInfo("empty", "no bytes")})
    ended = ledger.status("job")

    assert (queued.state, queued.total, queued.queued, queued.name) == (JobState.QUEUED, 6, 6, "a name")
    assert (running.state, running.running, running.queued) == (JobState.RUNNING, 3, 3)
    assert (ended.state, ended.succeeded, ended.failed) == (JobState.PARTIAL, 5, 1)
    assert ended.finished_at is not None
    assert ended.finished_at >= ended.created_at
    assert ledger.failures("job") == {4: ErrorInfo("empty", "no bytes")}
    assert ledger.image_states("job") == [OK, OK, OK, OK, BAD, OK]
    assert [(done.chunk, done.attempt) for done in ledger.done("job")] == [("000000", 1), ("000001", 1)]


def test_a_finished_job_expires_sooner_than_an_unfinished_one(ledger: RedisLedger) -> None:
    """A week after the end, a season before it; all keys of a job together."""
    submit(ledger, chunks=1)
    client = ledger.scripts.client
    before = client.ttl(keys.JOB % "job")
    (hint,) = ledger.refill(MODEL)
    ledger.commit(claim(ledger, hint), [OK] * 3, {})

    assert before > 80 * keys.DAY
    assert {client.ttl(t % "job") for t in (keys.JOB, keys.IMAGES, keys.CHUNKS)} == {keys.FINISHED_TTL_S}


def test_a_hint_is_claimed_once(ledger: RedisLedger) -> None:
    """The second delivery of a message is refused; the same call repeated gets the same answer."""
    submit(ledger)
    hint, _ = ledger.refill(MODEL)
    claimed = claim(ledger, hint, "a")

    assert ledger.claim(hint.message, "a", "w") == claimed
    assert ledger.claim(hint.message, "b", "w") == "stale"
    assert ledger.claim(ChunkMessage(job="none", chunk="000000", attempt=1), "c", "w") == "gone"


def test_a_commit_counts_once(ledger: RedisLedger) -> None:
    """A commit whose reply was lost is sent again, and changes nothing the second time."""
    submit(ledger)
    hint, _ = ledger.refill(MODEL)
    held = claim(ledger, hint)
    ledger.commit(held, [OK, OK, BAD], {})
    ledger.commit(held, [OK, OK, BAD], {})

    status = ledger.status("job")
    assert (status.succeeded, status.failed, status.running, status.queued) == (2, 1, 0, 3)


def test_a_lease_that_ran_out_gives_the_chunk_to_another_attempt(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """The old attempt can neither renew nor commit nor hand back; the new one counts."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    old = claim(hasty, hint)

    assert hasty.reap(MODEL, high_empty=True, bulk_empty=True) == Reaped(leases=1, hints=0)
    assert ledger.status("job").queued == 3
    (again,) = ledger.refill(MODEL)
    assert again.message.attempt == 2
    new = claim(ledger, again, "other")
    assert ledger.renew([old, new]) == ["lost", "held"]
    with pytest.raises(LostLeaseError):
        ledger.commit(old, [BAD] * 3, {})
    with pytest.raises(LostLeaseError):
        ledger.release(old)
    ledger.commit(new, [OK] * 3, {})
    assert ledger.status("job").state is JobState.SUCCEEDED
    assert [(done.chunk, done.attempt) for done in ledger.done("job")] == [("000000", 2)]


def test_a_renewed_lease_does_not_run_out(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """Renewing moves the deadline, so the reaper finds nothing."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    held = claim(hasty, hint)

    assert ledger.renew([held]) == ["held"]
    assert ledger.reap(MODEL, high_empty=True, bulk_empty=True) == Reaped(0, 0)


def test_a_message_that_never_came_is_sent_again_but_only_if_its_queue_is_empty(
    ledger: RedisLedger, hasty: RedisLedger
) -> None:
    """Behind a slow worker an old message is waiting, not lost."""
    submit(hasty, chunks=1)
    (hint,) = hasty.refill(MODEL)

    assert hasty.reap(MODEL, high_empty=True, bulk_empty=False) == Reaped(0, 0)
    assert hasty.reap(MODEL, high_empty=True, bulk_empty=True) == Reaped(0, 1)
    (again,) = ledger.refill(MODEL)
    assert again.message.attempt == 2
    assert ledger.claim(hint.message, "late arrival", "w") == "stale"


def test_a_chunk_handed_back_is_queued_again_at_once(ledger: RedisLedger) -> None:
    """A stopping worker gives its chunk to the next one without waiting for a lease."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    ledger.release(claim(ledger, hint))

    assert ledger.status("job").queued == 3
    assert [again.message.attempt for again in ledger.refill(MODEL)] == [2]


def test_the_broker_holds_few_hints_and_jobs_take_turns(ledger: RedisLedger) -> None:
    """A job of one chunk is served next to a long one, not after it."""
    serve(ledger, slots=1)
    submit(ledger, "long", chunks=50)
    first = ledger.refill(MODEL)
    submit(ledger, "short", chunks=1)
    claim(ledger, first[0])
    claim(ledger, first[1], "b")
    second = ledger.refill(MODEL)

    assert [hint.message.job for hint in first] == ["long", "long"]
    assert ledger.refill(MODEL) == []
    assert sorted(hint.message.job for hint in second) == ["long", "short"]


def test_the_mark_grows_with_the_live_workers(ledger: RedisLedger) -> None:
    """Two chunks per slot of every worker that shows a sign of life."""
    serve(ledger, "w1", slots=3)
    serve(ledger, "w2", slots=4)
    submit(ledger, chunks=50)

    assert len(ledger.refill(MODEL)) == 14


def test_high_goes_first_also_above_the_mark_and_every_fourth_place_is_bulk(ledger: RedisLedger) -> None:
    """A full queue of bulk chunks does not keep an urgent one out, and bulk is never starved."""
    serve(ledger, slots=1)
    submit(ledger, "slow", chunks=50)
    waiting = ledger.refill(MODEL)
    submit(ledger, "fast", chunks=50, priority="high")

    served: list[str] = []
    while len(served) < 40:
        waiting += ledger.refill(MODEL)
        # The broker empties the queue of `high` before it looks at `bulk`.
        hint = next((h for h in waiting if h.priority == "high"), waiting[0])
        waiting.remove(hint)
        claim(ledger, hint, f"token-{len(served)}")
        served.append(hint.message.job)

    assert served[0] == "fast"
    assert served.count("slow") == 10
    assert all("slow" in served[i : i + 8] for i in range(0, 40, 8))


def test_a_cancelled_job_ends_when_its_running_images_do(ledger: RedisLedger) -> None:
    """Queued images end at once; the chunk in hand is told at its next renewal."""
    submit(ledger, chunks=3)
    held, sent = ledger.refill(MODEL)
    mine = claim(ledger, held)

    assert ledger.cancel("job") is True
    assert ledger.claim(sent.message, "x", "w") == "cancelled"
    assert ledger.renew([mine]) == ["cancelled"]
    assert ledger.status("job").state is JobState.RUNNING
    ledger.commit(mine, [OK, ImageState.CANCELLED, ImageState.CANCELLED], {})
    status = ledger.status("job")
    assert (status.state, status.succeeded, status.cancelled) == (JobState.CANCELLED, 1, 8)
    assert ledger.refill(MODEL) == []
    assert ledger.cancel("job") is False


def test_a_cancelled_chunk_whose_worker_died_ends_too(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """Otherwise a cancelled job would run for ever."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    claim(hasty, hint)
    ledger.cancel("job")
    hasty.reap(MODEL, high_empty=True, bulk_empty=True)

    assert ledger.status("job").state is JobState.CANCELLED
    assert ledger.refill(MODEL) == []


def test_a_submission_can_be_repeated_but_not_changed(ledger: RedisLedger) -> None:
    """The same id with the same content does nothing; with other options or pictures it is refused."""
    submit(ledger)
    submit(ledger)

    assert ledger.status("job").total == 6
    with pytest.raises(UsageError, match=r"other options: top_k 3 \(here 1\), keep_maps no \(here yes\); repeat"):
        ledger.open_job("job", model=MODEL, options=Options(top_k=1, keep_maps=True), priority="bulk", name=None)
    with pytest.raises(UsageError, match=rf"other options: model {MODEL} \(here other@0\), webhook; repeat"):
        ledger.open_job("job", model="other@0", options=Options(), priority="bulk", name=None, webhook="http://a/?s=1")
    with pytest.raises(UsageError, match="other pictures"):
        enter(ledger, "job", NewChunk("000001", 3, 3, "another digest"))
    with pytest.raises(UsageError, match="other pictures"):
        enter(ledger, "job", NewChunk("000002", 6, 3, "one more"))


def test_an_unsealed_job_does_not_end(ledger: RedisLedger) -> None:
    """Its producer may still add to it."""
    ledger.open_job("job", model=MODEL, options=Options(), priority="bulk", name=None)
    enter(ledger, "job", NewChunk("000000", 0, 1, "d"))
    (hint,) = ledger.refill(MODEL)
    ledger.commit(claim(ledger, hint), [OK], {})
    assert ledger.status("job").state is JobState.RUNNING
    ledger.seal("job")

    assert ledger.status("job").state is JobState.SUCCEEDED


def test_what_was_left_out_is_kept_with_the_job(ledger: RedisLedger) -> None:
    """`camq seal`, which knows of none, leaves it as it is."""
    ledger.open_job("job", model=MODEL, options=Options(), priority="bulk", name=None)
    assert ledger.status("job").left_out == {}
    ledger.seal("job", {".HEIC": 200, ".txt": 13})
    ledger.seal("job")

    assert ledger.status("job").left_out == {".HEIC": 200, ".txt": 13}


def test_an_unknown_job_and_a_silent_redis_have_errors_of_their_own(ledger: RedisLedger) -> None:
    """The one means another id, the other another address; no password is shown."""
    with pytest.raises(UnknownJobError, match="nothing-here"):
        ledger.status("nothing-here")
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 "):
        RedisLedger(Settings(redis_url="redis://:hunter2@127.0.0.1:1/0")).check()
    with pytest.raises(UsageError, match="refused the password"):
        RedisLedger(Settings(redis_url=f"redis://:wrong@{port(ledger)}/0")).check()


def test_a_worker_is_listed_while_it_shows_signs_of_life(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """And its models are known by their cards even when it left."""
    ledger.publish(ModelCard(model=MODEL, labels=("cat", "dog"), input_size=224, methods=("cam",)))
    info = serve(ledger)
    assert ledger.workers() == [info]
    assert ledger.models() == {MODEL: True}
    ledger.leave(info)

    assert ledger.workers() == []
    assert ledger.models() == {MODEL: False}
    card = ledger.card(MODEL)
    assert card is not None
    assert card.labels == ("cat", "dog")


def test_news_of_a_job_come_as_they_happen(ledger: RedisLedger) -> None:
    """Whoever watches looks at once, and again after each move."""
    submit(ledger)
    news = ledger.wait_for_news("job")
    next(news)
    seen = ledger.status("job").running
    hint, _ = ledger.refill(MODEL)
    claim(ledger, hint)
    next(news)

    assert (seen, ledger.status("job").running) == (0, 3)
    news.close()


def port(ledger: RedisLedger) -> str:
    pool = ledger.scripts.client.connection_pool.connection_kwargs
    return f"{pool['host']}:{pool['port']}"
