"""One chunk through the pipeline, with a ledger, a store and an explainer that misbehave as declared."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from shared import keys
from shared.contract import (
    ImageRef,
    ImageState,
    encode_lines,
)
from shared.errors import LostLeaseError, UnreachableError
from shared.ledger import Claim
from tests.support.worker.chunk_desk import IMAGES, MESSAGE, Desk
from worker.chunk import pipeline
from worker.chunk.pipeline import Outcome
from worker.chunk.quarantine import QuarantineError


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.pipeline.close()


def test_a_chunk_is_committed_after_its_results_are_there(desk: Desk) -> None:
    """And the queue is filled again."""
    assert desk.pipeline.run(MESSAGE) is Outcome.DONE
    assert desk.ledger.committed == [ImageState.SUCCEEDED] * IMAGES
    assert [record.index for record in desk.results()] == [0, 1, 2]
    assert desk.refills == 1
    assert desk.measured.counts() == {
        ("claims", "claimed"): 1, ("chunks", "committed"): 1, ("images", "succeeded", ""): IMAGES,
    }  # fmt: skip
    assert desk.measured.images_done == IMAGES


def test_a_commit_that_another_attempt_forestalled_counts_no_image(desk: Desk) -> None:
    """The other attempt's worker counts them."""

    def lose(*_: object) -> None:
        raise LostLeaseError("another attempt owns the chunk")

    desk.ledger.commit = lose  # type: ignore[method-assign]
    assert desk.pipeline.run(MESSAGE) is Outcome.SKIPPED
    assert desk.measured.counts() == {("claims", "claimed"): 1, ("chunks", "lost"): 1}


@pytest.mark.parametrize("refusal", ["stale", "cancelled", "gone"])
def test_a_hint_that_may_not_be_claimed_is_skipped(refusal: str, desk: Desk) -> None:
    """One message too many costs nothing."""
    desk.ledger.claimed = refusal

    assert desk.pipeline.run(MESSAGE) is Outcome.SKIPPED
    assert desk.ledger.committed is None
    assert desk.measured.counts() == {("claims", refusal): 1}


def test_a_broker_that_is_away_after_the_commit_does_not_undo_it(desk: Desk) -> None:
    """The reaper refills later; the chunk is done."""
    desk.broker_is_away = True

    assert desk.pipeline.run(MESSAGE) is Outcome.DONE


def test_redis_away_at_the_claim_is_waited_out(desk: Desk) -> None:
    """The same token makes the repeated claim safe."""
    desk.ledger.away = 3

    assert desk.pipeline.run(MESSAGE) is Outcome.DONE


def test_a_stopping_worker_takes_no_chunk_and_gives_the_message_back(desk: Desk) -> None:
    """Also when it is waiting for Redis at that moment."""
    desk.ledger.away = 10**6
    threading.Timer(0.1, desk.keeper.drain, (60,)).start()

    assert desk.pipeline.run(MESSAGE) is Outcome.NOT_TAKEN
    assert not desk.ledger.released


def test_a_stop_does_not_wait_for_an_image_that_hangs(desk: Desk) -> None:
    """A silent service may hold a thread far longer than the grace period."""
    gate = threading.Event()
    desk.explainer.on = {1: lambda check: gate.wait(60)}
    threading.Timer(0.1, desk.keeper.drain, (-1,)).start()

    assert desk.pipeline.run(MESSAGE) is Outcome.HANDED_BACK
    assert desk.ledger.released
    assert desk.ledger.committed is None
    gate.set()


def test_an_image_left_behind_stops_at_its_next_look(desk: Desk) -> None:
    """So that nothing of an abandoned chunk goes on in secret."""
    gate, stopped = threading.Event(), threading.Event()

    def hangs(check: Any) -> None:
        gate.wait(60)
        try:
            check()
        except LostLeaseError:
            stopped.set()

    def fails(check: Any) -> None:
        raise UnreachableError("storage stayed away")

    desk.explainer.on = {0: fails, 1: hangs}
    assert desk.pipeline.run(MESSAGE) is Outcome.HANDED_BACK
    assert not desk.ledger.spent, "an outage brings no picture nearer to its end"
    gate.set()

    assert stopped.wait(10)


def test_a_chunk_of_another_model_goes_back_untouched(desk: Desk) -> None:
    """An id may be removed and used again for another network while its message is on the way."""
    assert isinstance(desk.ledger.claimed, Claim)
    desk.ledger.claimed = replace(desk.ledger.claimed, model="net@ffffffffffff")

    assert desk.pipeline.run(MESSAGE) is Outcome.HANDED_BACK
    assert (desk.ledger.released, desk.ledger.spent, desk.ledger.committed) == (True, False, None)


def test_a_hand_back_says_when_the_quarantine_is_why(desk: Desk) -> None:
    """The ledger counts those, and only those."""

    def ends(check: Any) -> None:
        raise QuarantineError("the quarantine process does not start")

    desk.explainer.on = {0: ends}

    assert desk.pipeline.run(MESSAGE) is Outcome.HANDED_BACK
    assert desk.ledger.spent


def test_a_lost_lease_commits_nothing(desk: Desk) -> None:
    """Another attempt owns the chunk."""

    def lose(check: Any) -> None:
        desk.ledger.lease = "lost"
        desk.keeper.renew()
        check()

    desk.explainer.on = {2: lose}

    assert desk.pipeline.run(MESSAGE) is Outcome.SKIPPED
    assert desk.ledger.committed is None
    assert not desk.ledger.released


@pytest.mark.parametrize("content", [None, b"", b"{broken", encode_lines([ImageRef(index=0)])])
def test_a_chunk_without_its_references_fails_image_by_image_and_not_for_ever(
    content: bytes | None, desk: Desk
) -> None:
    """Trying it again would never help."""
    key = keys.chunk_object("job", "000000")
    desk.store.delete([key])
    if content is not None:
        desk.store.put(key, content)

    assert desk.pipeline.run(MESSAGE) is Outcome.DONE
    assert desk.ledger.committed == [ImageState.FAILED] * IMAGES
    assert {error.code for error in desk.ledger.failures.values()} == {"not_found"}
    assert len(desk.results()) == IMAGES


def test_references_of_any_size_are_not_read_into_memory(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write to the bucket must not end a worker by a large object."""
    monkeypatch.setattr(pipeline, "MOST_REFERENCE_BYTES", 1000)
    desk.store.put(keys.chunk_object("job", "000000"), bytes(1001))

    assert desk.pipeline.run(MESSAGE) is Outcome.DONE
    assert {error.code for error in desk.ledger.failures.values()} == {"not_found"}
    assert "the limit is 1000" in desk.ledger.failures[0].message


def test_references_that_were_not_registered_are_not_taken_for_those_that_were(desk: Desk) -> None:
    """Whoever wrote over them: other pictures must not be counted as this job's."""
    assert isinstance(desk.ledger.claimed, Claim)
    raw = desk.store.get(keys.chunk_object("job", "000000"))
    for digest, state in ((hashlib.sha256(raw).hexdigest(), "succeeded"), ("0" * 64, "failed")):
        desk.ledger.claimed = replace(desk.ledger.claimed, digest=digest)
        assert desk.pipeline.run(MESSAGE) is Outcome.DONE
        assert desk.ledger.committed == [ImageState(state)] * IMAGES
    assert "not what was registered" in desk.ledger.failures[0].message


def test_what_nobody_foresaw_hands_the_chunk_back_with_its_reason(desk: Desk) -> None:
    """No image fails, and nothing comes back at once: the ledger decides when the chunk is tried again."""

    def broken(check: Any) -> None:
        raise ZeroDivisionError("by zero")

    desk.explainer.on = {1: broken}

    assert desk.pipeline.run(MESSAGE) is Outcome.HANDED_BACK
    assert desk.ledger.committed is None
    assert desk.ledger.raised == "ZeroDivisionError: by zero"
    assert desk.keeper.held == 0
