"""The leases of a process: renewed together, and the word that ends work."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import pytest

from shared.contract import ChunkMessage, Options
from shared.errors import LostLeaseError
from shared.ledger import Claim, RedisLedger
from worker.chunk.leases import LeaseKeeper
from worker.errors import CancelledJobError, HandBackError

FIRST, SECOND = (
    Claim(ChunkMessage(job="job", chunk=chunk, attempt=1), Options(), "net@0", "bulk", chunk, token=f"token-{chunk}")
    for chunk in ("000000", "000001")
)


class Answers:
    """A declared test adapter of the ledger: renews as it is told."""

    def __init__(self) -> None:
        self.by_chunk: dict[str, str] = {}

    def renew(self, claims: Sequence[Claim]) -> list[Literal["held", "lost", "cancelled"]]:
        return [cast(Any, self.by_chunk.get(claim.message.chunk, "held")) for claim in claims]


@pytest.fixture
def ledger() -> Answers:
    return Answers()


@pytest.fixture
def keeper(ledger: Answers) -> LeaseKeeper:
    return LeaseKeeper(cast(RedisLedger, ledger))


def test_a_lost_lease_ends_its_own_chunk_only(keeper: LeaseKeeper, ledger: Answers) -> None:
    """Its neighbours in the process go on."""
    with keeper.hold(FIRST) as first, keeper.hold(SECOND) as second:
        ledger.by_chunk = {FIRST.message.chunk: "lost"}
        keeper.renew()
        ledger.by_chunk = {}
        keeper.renew()

        with pytest.raises(LostLeaseError):
            first.check()
        second.check()
        assert keeper.held == 2
    assert keeper.held == 0


def test_a_cancelled_job_ends_images_but_not_their_commit(keeper: LeaseKeeper, ledger: Answers) -> None:
    """What was done and what was cancelled is committed together."""
    with keeper.hold(FIRST) as lease:
        ledger.by_chunk = {FIRST.message.chunk: "cancelled"}
        keeper.renew()

        with pytest.raises(CancelledJobError):
            lease.check()
        lease.check_held()


def test_images_still_on_their_way_stop_when_their_chunk_has_gone(keeper: LeaseKeeper) -> None:
    """One that waits for a silent service may come back long after its chunk was given up."""
    with keeper.hold(FIRST) as lease:
        lease.check()

    with pytest.raises(LostLeaseError):
        lease.check()


def test_a_stopping_worker_takes_nothing_more_and_may_finish_what_it_has(keeper: LeaseKeeper) -> None:
    """Until the grace period is over; then the chunk goes back."""
    keeper.check_taking()
    with keeper.hold(FIRST) as lease:
        keeper.drain(3600)
        lease.check()
        with pytest.raises(HandBackError):
            keeper.check_taking()
        keeper.drain(-1)
        with pytest.raises(HandBackError):
            lease.check()
