"""A deletion by itself: whom it waits for, how it is repeated, what it locks."""

import threading

import pytest

from producer.retention.delete import remove
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import submit
from shared import keys
from shared.config import Settings
from shared.contract import Options
from shared.errors import DeletionError, UnknownJobError
from shared.ledger import RedisLedger
from tests.support.jobs import ledgers
from tests.support.jobs.ledgers import MODEL
from tests.support.jobs.racing_store import RacingStore
from tests.support.jobs.scripted_worker import picture

pytestmark = pytest.mark.servers

PICTURE = picture()


def test_a_removal_waits_until_workers_have_heard_of_it(
    ledger: RedisLedger, store: RacingStore, settings: Settings
) -> None:
    """What one of them writes after the deletion would stay, and could be taken for a later job's of the same id."""
    ledgers.submit(ledger, "old", chunks=1)
    (hint,) = ledger.refill(MODEL)
    held = ledgers.claim(ledger, hint)
    removal = threading.Thread(target=remove, args=(ledger, store, "old"), daemon=True)
    looks, look = threading.Event(), ledger.held

    def looked(job: str) -> bool:
        looks.set()
        return look(job)

    ledger.held = looked  # type: ignore[method-assign]
    removal.start()
    assert looks.wait(20)
    store.put(keys.overlay_object("old", 0, 1, "jpg"), b"the worker has not heard yet")
    assert ledger.renew([held]) == ["lost"]
    removal.join(settings.lease_s)

    assert list(store.list("jobs/")) == []


def test_a_removal_that_broke_off_is_finished_by_repeating_it(
    services: Services, ledger: RedisLedger, store: RacingStore
) -> None:
    """The ledger has forgotten the job by then, but not its id."""

    def breaks() -> None:
        raise KeyboardInterrupt

    submit(services, [PICTURE], Request(job_id="old"))
    store.meanwhile = breaks
    with pytest.raises(KeyboardInterrupt):
        remove(ledger, store, "old")
    assert store.stat(keys.chunk_object("old", "000000")) is not None

    remove(ledger, store, "old")
    assert [key for key, _ in store.list("") if not key.startswith(keys.INPUTS)] == []
    with pytest.raises(UnknownJobError):
        remove(ledger, store, "old")


def test_a_deletion_that_was_silent_for_too_long_stops(ledger: RedisLedger) -> None:
    """A job of this id may have begun since."""
    with ledger.deleting("old") as keepalive:
        keepalive()
        ledger.scripts.client.delete(keys.DELETING % "old")
        with pytest.raises(DeletionError, match="run it again"):
            keepalive()


def test_a_job_that_is_there_is_resumed_also_while_another_is_deleted(ledger: RedisLedger) -> None:
    """Only its own deletion matters to it."""
    ledgers.submit(ledger, "mine")
    with ledger.deleting("mine"), ledger.deleting("other"):
        assert ledger.open_job("mine", model=MODEL, options=Options(), priority="bulk", name=None) is False
        with pytest.raises(DeletionError, match="other"):
            ledger.open_job("other", model=MODEL, options=Options(), priority="bulk", name=None)
