"""Deletions and submissions at one moment: no job loses a picture, whichever comes first."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from typing import Any

import pytest

from producer.retention import unused_inputs as unused
from producer.retention.delete import collect, collect_now, remove
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import Listener, submit
from shared import keys
from shared.config import Settings
from shared.contract import ImageRef, Options, decode_lines
from shared.errors import UnknownJobError, UsageError
from shared.ledger import RedisLedger
from shared.storage import MemoryStore
from tests.support.jobs.ledgers import MODEL
from tests.support.jobs.racing_store import RacingStore
from tests.support.jobs.scripted_worker import picture

pytestmark = pytest.mark.servers

PICTURE = picture()


def just_before_deleting(ledger: RedisLedger, scope: str, action: Callable[[], object]) -> None:
    """Whenever it begins to delete what is in `scope`, somebody was quicker."""
    begin = ledger.deleting

    def deleting(asked: str, **how: Any) -> AbstractContextManager[Callable[[], None]]:
        if asked == scope:
            action()
        return begin(asked, **how)

    ledger.deleting = deleting  # type: ignore[method-assign]


@pytest.fixture
def other(settings: Settings) -> Iterator[RedisLedger]:
    """The ledger of somebody else's process."""
    with closing(RedisLedger(settings)) as found:
        yield found


class Submission(threading.Thread):
    """A submission of the one picture, beside the test; it says when it found that it has to wait."""

    def __init__(self, services: Services, job: str) -> None:
        super().__init__(daemon=True)
        self.waits = threading.Event()
        self._run: Callable[[], str] = lambda: submit(
            services, [PICTURE], Request(job_id=job), Listener(notice=lambda _: self.waits.set())
        )

    def run(self) -> None:
        self._run()


def is_whole(ledger: RedisLedger, store: MemoryStore, job: str) -> bool:
    """Whether every picture that the job refers to is there."""
    chunks = [decode_lines(store.get(keys.chunk_object(job, chunk)), ImageRef) for chunk in ledger.chunks(job)]
    return bool(chunks) and all(store.stat(ref.key) for refs in chunks for ref in refs)


def gc(ledger: RedisLedger, store: MemoryStore) -> None:
    ledger.remove("old")  # as if it had expired
    collect(ledger, store)


@pytest.fixture
def doomed(services: Services, ledger: RedisLedger, store: RacingStore) -> None:
    """An old picture that nobody but the job `old` refers to."""
    submit(services, [PICTURE], Request(job_id="old"))
    submit(services, [picture(colour=(1, 2, 3))], Request(job_id="another"))
    store.make_old()


@pytest.mark.usefixtures("doomed")
def test_a_submission_during_gc_keeps_its_picture(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is registered after the look at what is used; but it has written the old picture again, which is young now."""
    look = unused.used_inputs

    def overtaken(*arguments: Any) -> set[str]:
        used = look(*arguments)
        submit(services, [PICTURE], Request(job_id="new"))
        return used

    monkeypatch.setattr(unused, "used_inputs", overtaken)
    gc(other, store)

    assert is_whole(ledger, store, "new")


@pytest.mark.usefixtures("doomed")
def test_no_job_begins_while_inputs_of_any_age_are_deleted(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore
) -> None:
    """It would find its picture, which then is deleted; so it waits, and stores it again."""
    ledger.remove("old")
    submission = Submission(services, "new")

    def happens() -> None:
        submission.start()
        assert submission.waits.wait(20)
        assert "new" not in ledger.known_jobs()

    store.meanwhile = happens
    assert collect_now(other, store).objects == 1
    submission.join(30)

    assert is_whole(ledger, store, "new")
    assert is_whole(ledger, store, "another")


@pytest.mark.usefixtures("doomed")
def test_inputs_of_any_age_are_not_deleted_while_a_submission_is_open(ledger: RedisLedger, store: RacingStore) -> None:
    """What it uploaded is not registered yet. Afterwards other jobs can begin."""
    ledger.open_job("open", model=MODEL, options=Options(), priority="bulk", name=None)
    before = set(store.list(""))

    with pytest.raises(UsageError, match="job open"):
        collect_now(ledger, store)

    assert set(store.list("")) == before
    assert ledger.open_job("next", model=MODEL, options=Options(), priority="bulk", name=None)


@pytest.mark.usefixtures("doomed")
def test_a_job_begins_anew_only_when_what_it_left_is_deleted(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore
) -> None:
    """Its first references would be deleted with the old ones."""
    submission = Submission(services, "old")

    def happens() -> None:
        submission.start()
        assert submission.waits.wait(20)
        with pytest.raises(UnknownJobError):
            ledger.status("old")

    store.meanwhile = happens
    remove(other, store, "old")
    submission.join(30)

    assert is_whole(ledger, store, "old")


@pytest.mark.usefixtures("doomed")
def test_gc_leaves_an_expired_job_alone_that_has_begun_anew(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore
) -> None:
    """It was listed as nobody's; its references lie where the old ones lay."""
    just_before_deleting(other, "old", lambda: submit(services, [PICTURE], Request(job_id="old")))
    gc(other, store)

    assert is_whole(ledger, store, "old")


@pytest.mark.usefixtures("doomed")
def test_references_that_went_with_a_removed_job_are_written_again(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore
) -> None:
    """A submission does not see that its job was removed when another one has begun it anew; its picture is in use."""
    register = services.ledger.register

    def late(*args: Any) -> None:
        services.ledger.register = register  # type: ignore[method-assign]
        options, model = ledger.options("new"), ledger.status("new").model
        remove(other, store, "new")
        other.open_job("new", model=model, options=options, priority="high", name=None)
        register(*args)

    services.ledger.register = late  # type: ignore[method-assign]
    heard: list[str] = []
    submit(services, [PICTURE], Request(job_id="new"), Listener(notice=heard.append))

    assert is_whole(ledger, store, "new")
    assert [sentence for sentence in heard if "job new was meanwhile removed and restarted" in sentence] == heard[-1:]


@pytest.mark.usefixtures("doomed")
def test_a_resumed_submission_writes_what_a_removal_took_after_its_opening(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore
) -> None:
    """What an earlier run had registered when it was opened says nothing of a job that has begun anew since."""
    submit(services, [PICTURE], Request(job_id="new"))
    reserve = services.ledger.reserve

    def late(*args: Any) -> bool:
        services.ledger.reserve = reserve  # type: ignore[method-assign]
        options, model = ledger.options("new"), ledger.status("new").model
        remove(other, store, "new")
        other.open_job("new", model=model, options=options, priority="high", name=None)
        return reserve(*args)

    services.ledger.reserve = late  # type: ignore[method-assign]
    submit(services, [PICTURE], Request(job_id="new"))

    assert is_whole(ledger, store, "new")
