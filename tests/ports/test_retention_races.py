"""Deletions and submissions at one moment: no job loses a picture, whichever comes first."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import pytest

from producer.retention import unused_inputs as unused
from producer.retention.delete import collect, remove
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import Listener, submit
from shared import keys
from shared.config import Settings
from shared.contract import ImageRef, decode_lines
from shared.errors import UnknownJobError
from shared.ledger import RedisLedger
from shared.storage import MemoryStore
from tests.racing_store import RacingStore
from tests.scripted_worker import picture

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


def rm(ledger: RedisLedger, store: MemoryStore) -> None:
    remove(ledger, store, "old")


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
@pytest.mark.parametrize("delete", [rm, gc])
def test_a_submission_during_the_deletion_of_its_picture_has_it_in_the_end(
    delete: Callable[[RedisLedger, MemoryStore], None],
    services: Services,
    ledger: RedisLedger,
    other: RedisLedger,
    store: RacingStore,
) -> None:
    """It finds the picture, which then is deleted; so the ledger makes it wait and look again."""
    submission = Submission(services, "new")

    def happens() -> None:
        submission.start()
        assert submission.waits.wait(20)
        assert ledger.chunks("new") == []

    store.meanwhile = happens
    delete(other, store)
    submission.join(30)

    assert is_whole(ledger, store, "new")


@pytest.mark.usefixtures("doomed")
@pytest.mark.parametrize("delete", [rm, gc])
def test_a_submission_that_was_quicker_than_the_deletion_keeps_its_picture(
    delete: Callable[[RedisLedger, MemoryStore], None],
    services: Services,
    ledger: RedisLedger,
    other: RedisLedger,
    store: RacingStore,
) -> None:
    """It was registered after the long look at what is used, and before the deletion began."""

    def quicker() -> None:
        submit(services, [PICTURE], Request(job_id="new"))
        store.make_old()  # else its age alone would save it

    just_before_deleting(other, keys.INPUTS, quicker)
    delete(other, store)

    assert is_whole(ledger, store, "new")


@pytest.mark.usefixtures("doomed")
def test_a_picture_that_was_deleted_before_its_chunk_came_is_stored_again(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore
) -> None:
    """The whole deletion fits between the upload and the registration."""
    reserve = services.ledger.reserve

    def late(*args: Any) -> set[str]:
        services.ledger.reserve = reserve  # type: ignore[method-assign]
        remove(other, store, "old")
        return reserve(*args)

    services.ledger.reserve = late  # type: ignore[method-assign]
    submit(services, [PICTURE], Request(job_id="new"))

    assert is_whole(ledger, store, "new")


@pytest.mark.usefixtures("doomed")
def test_submissions_get_their_turn_in_a_long_deletion(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on in spells; each looks at what came since the one before."""
    for name, value in {"BATCH": 1, "SPELL_S": 0.0, "PAUSE_S": 0.0}.items():
        monkeypatch.setattr(unused, name, value)
    for shade in range(3):
        store.put(keys.input_object(f"{shade:064d}"), b"nobody's")
    store.make_old()
    began: list[str] = []
    begin = other.deleting

    @contextmanager
    def deleting(scope: str, **how: Any) -> Iterator[Callable[[], None]]:
        began.append(scope)
        with begin(scope, **how) as go_on:
            yield go_on
        if began.count(keys.INPUTS) == 1:
            submit(services, [PICTURE], Request(job_id="new"))
            store.make_old()

    other.deleting = deleting  # type: ignore[method-assign]
    gc(other, store)

    assert began.count(keys.INPUTS) == 4
    assert is_whole(ledger, store, "new")


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
    assert [sentence for sentence in heard if "job new was removed and begun anew" in sentence] == heard[-1:]


@pytest.mark.usefixtures("doomed")
def test_a_resumed_submission_writes_what_a_removal_took_after_its_opening(
    services: Services, ledger: RedisLedger, other: RedisLedger, store: RacingStore
) -> None:
    """What an earlier run had registered when it was opened says nothing of a job that has begun anew since."""
    submit(services, [PICTURE], Request(job_id="new"))
    reserve = services.ledger.reserve

    def late(*args: Any) -> set[str]:
        services.ledger.reserve = reserve  # type: ignore[method-assign]
        options, model = ledger.options("new"), ledger.status("new").model
        remove(other, store, "new")
        other.open_job("new", model=model, options=options, priority="high", name=None)
        return reserve(*args)

    services.ledger.reserve = late  # type: ignore[method-assign]
    submit(services, [PICTURE], Request(job_id="new"))

    assert is_whole(ledger, store, "new")
