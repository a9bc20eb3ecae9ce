"""Work that raises what nobody foresaw: it waits longer each time, goes to quarantine, and fails in the end."""

import pytest

from shared import keys
from shared.contract import SCHEMA_VERSION, ErrorInfo, ImageState, JobState
from shared.errors import NewerSchemaError
from shared.ledger import Hint, RedisLedger
from shared.ledger.worker_side import RAISED_HOPELESS, RAISED_IN_QUARANTINE, RAISED_PAUSE_S, RAISED_TO_QUARANTINE
from tests.support.jobs.ledgers import MODEL, claim, come_due, serve, submit

pytestmark = pytest.mark.servers

WHY = "ZeroDivisionError: division by zero"


def test_a_chunk_that_raises_waits_longer_each_time_and_then_its_pictures_run_one_by_one(ledger: RedisLedger) -> None:
    """The one that raises there as well fails as `internal`, with the exception; its neighbour succeeds."""
    submit(ledger, chunks=1, size=2)
    pauses = []
    for _ in range(RAISED_TO_QUARANTINE):
        (hint,) = ledger.refill(MODEL)
        ledger.release(claim(ledger, hint), raised=WHY)
        pauses += come_due(ledger)
    expected = [RAISED_PAUSE_S * 2**n for n in range(RAISED_TO_QUARANTINE - 1)] + [0, 0]
    assert pauses == pytest.approx(expected, abs=0.5)

    good, bad = (claim(ledger, hint, f"token {hint.message.chunk}") for hint in ledger.refill(MODEL))
    assert (good.quarantine, good.indices, bad.indices) == (True, (0,), (1,))
    ledger.commit(good, [ImageState.SUCCEEDED], {})
    for _ in range(RAISED_IN_QUARANTINE - 1):
        ledger.release(bad, raised=WHY)
        come_due(ledger)
        (hint,) = ledger.refill(MODEL)
        bad = claim(ledger, hint)
    ledger.release(bad, raised=WHY)

    assert ledger.status("job").state is JobState.PARTIAL
    assert ledger.failures("job") == {1: ErrorInfo("internal", WHY)}


def test_a_chunk_that_raised_never_goes_before_the_others(ledger: RedisLedger) -> None:
    """It takes its job's turn in its job's own queue, and no place above the mark."""
    serve(ledger, slots=1)
    submit(ledger, "broken", chunks=4)
    submit(ledger, "healthy", chunks=4)
    hints = ledger.refill(MODEL)
    sent: list[Hint] = []
    while hints:
        hint = hints.pop(0)
        sent.append(hint)
        held = claim(ledger, hint, f"token {len(sent)}")
        if hint.message.job == "broken":
            ledger.release(held, raised=WHY)
            come_due(ledger)
        else:
            ledger.commit(held, [ImageState.SUCCEEDED] * 3, {})
        hints += ledger.refill(MODEL)
        if ledger.status("healthy").state is JobState.SUCCEEDED:
            break

    assert {hint.priority for hint in sent} == {"bulk"}
    assert sum(hint.message.job == "broken" for hint in sent) <= 5


def fail_one_by_one(ledger: RedisLedger) -> list[Hint]:
    """The job's first chunk raises until enough of its pictures have failed in quarantine; the hints for the others."""
    serve(ledger, slots=10)
    others = []
    turns = 0
    while len(ledger.failures("job")) < RAISED_HOPELESS:
        for hint in ledger.refill(MODEL):
            turns += 1
            if hint.message.chunk.startswith("000000"):
                ledger.release(claim(ledger, hint, f"token {turns}"), raised=WHY)
            else:
                others.append(hint)
        come_due(ledger)
    return sorted(others, key=lambda hint: hint.message.chunk)


def test_a_job_of_which_every_picture_raises_is_not_tried_to_the_end(ledger: RedisLedger) -> None:
    """Once the pictures of one chunk have shown it, what else of the job raises fails after that one attempt."""
    submit(ledger, chunks=2, size=RAISED_HOPELESS)
    (hint,) = fail_one_by_one(ledger)
    ledger.release(claim(ledger, hint), raised=WHY)

    assert ledger.status("job").state is JobState.FAILED
    last = ledger.failures("job")[2 * RAISED_HOPELESS - 1]
    assert (last.code, last.message) == (
        "internal",
        f"{WHY} (not tried again: the pictures of this job before it ended so, too)",
    )


@pytest.mark.parametrize("by", ["success", "retry"])
def test_the_verdict_on_a_job_is_lifted(ledger: RedisLedger, by: str) -> None:
    """By a picture that succeeds, and by whoever asks for another try: the worker may have been mended."""
    submit(ledger, chunks=3, size=RAISED_HOPELESS)
    second, third = fail_one_by_one(ledger)
    if by == "success":
        ledger.commit(claim(ledger, second, "second"), [ImageState.SUCCEEDED] * RAISED_HOPELESS, {})
    else:
        assert ledger.retry("job", [0]) == 1
    ledger.release(claim(ledger, third, "third"), raised=WHY)

    assert {index for index in ledger.failures("job") if index >= 2 * RAISED_HOPELESS} == set()


def test_what_raised_goes_after_what_did_not(ledger: RedisLedger) -> None:
    """Whenever it is due: of a full queue it has one place in 32, so that it still comes to an end."""
    serve(ledger, slots=1)
    submit(ledger, "broken", chunks=4)
    while hints := ledger.refill(MODEL):
        for hint in hints:
            ledger.release(claim(ledger, hint), raised=WHY)
    come_due(ledger)
    submit(ledger, "healthy", chunks=70)
    sent: list[Hint] = []
    while len(sent) < 64:
        for hint in ledger.refill(MODEL):
            sent.append(hint)
            claim(ledger, hint, f"token {len(sent)}")

    assert sum(hint.message.job == "broken" for hint in sent) == 2


def test_an_urgent_job_is_sent_at_once_also_when_it_is_bulks_turn(ledger: RedisLedger) -> None:
    """The broker is full of bulk chunks. The place that was bulk's is still bulk's when there is room."""
    submit(ledger, "bulk", chunks=40)
    for turn in range(8):
        hints = ledger.refill(MODEL)
        submit(ledger, f"urgent {turn}", chunks=1, size=1, priority="high")
        urgent = ledger.refill(MODEL)
        assert [hint.message.job for hint in urgent] == [f"urgent {turn}"]
        for hint in hints + urgent:
            claim(ledger, hint, f"token {turn} {hint.message.chunk}")


def test_one_record_that_cannot_be_read_harms_no_other(ledger: RedisLedger, hasty: RedisLedger) -> None:
    """The other leases that ran out with it are taken back, and the reaper learns which one is broken."""
    serve(ledger, slots=3)
    submit(ledger, chunks=3)
    for hint in ledger.refill(MODEL):
        claim(hasty, hint, hint.message.chunk)
    ledger.scripts.client.hset(keys.CHUNKS % "job", "000000", "{broken")

    found = ledger.reap(MODEL, high_empty=True, bulk_empty=True)

    assert (found.leases, found.broken) == (2, ("job/000000",))
    assert sorted(hint.message.chunk for hint in ledger.refill(MODEL)) == ["000001", "000002"]


def test_a_job_of_a_newer_release_is_left_to_newer_workers_uncharged(ledger: RedisLedger) -> None:
    """An older worker learns it before it has the lease; the message stays what it was."""
    submit(ledger, chunks=1)
    ledger.scripts.client.hset(keys.JOB % "job", "schema_version", SCHEMA_VERSION + 1)
    (hint,) = ledger.refill(MODEL)
    with pytest.raises(NewerSchemaError):
        claim(ledger, hint)
    with pytest.raises(NewerSchemaError):
        ledger.take("job", hint.message.chunk, "token", "w")
    assert ledger.status("job").running == 0

    ledger.scripts.client.hset(keys.JOB % "job", "schema_version", SCHEMA_VERSION)
    assert claim(ledger, hint).indices == (0, 1, 2)


def test_a_cancel_that_is_interrupted_is_finished_by_a_reaper(
    ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large job is cancelled in pieces; whoever began it may die between two of them."""
    submit(ledger, chunks=4, size=3)
    (first, _) = ledger.refill(MODEL)
    held = claim(ledger, first)
    ledger.scripts("cancel", "job")
    assert ledger.scripts("cancel_images", "job", 5) == 1
    assert ledger.status("job").cancelled == 2  # three of the first five are in hand

    ledger.reap(MODEL, high_empty=True, bulk_empty=True)
    assert ledger.status("job").cancelled == 9
    ledger.commit(held, [ImageState.CANCELLED] * 3, {})

    assert ledger.status("job").state is JobState.CANCELLED
    assert not ledger.scripts.client.exists(keys.CANCELLING)
