"""A deletion that takes long: the ledger hears of it all the while, and it locks nobody out meanwhile."""

import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from producer.retention import delete as retention
from producer.retention import unused_inputs as unused
from producer.retention.delete import collect, remove
from producer.retention.unused_inputs import Deleted, Used, delete_unused
from shared import keys
from shared.config import Settings
from shared.contract import ImageRef, Options, encode_lines
from shared.ledger import NewChunk, RedisLedger
from shared.ledger.deletions import SILENCE_S
from shared.storage import Stat
from tests.ledgers import MODEL, enter
from tests.racing_store import RacingStore

pytestmark = pytest.mark.servers

#: More than the silence that ends a deletion, if each takes a second.
MANY = SILENCE_S + 30
CAT, DOG = (f"inputs/{letter * 2}/{letter * 64}" for letter in "ab")


class Clock:
    """Lets time pass for those who delete, without waiting for it: their locks run out, `producer` sees it go on."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._passed = 0.0

    def passes(self, seconds: float) -> None:
        self._passed += seconds
        for lock in self._client.keys(keys.DELETING % "*"):
            self._client.pexpire(lock, self._client.pttl(lock) - int(1000 * seconds))

    def monotonic(self) -> float:
        return time.monotonic() + self._passed

    @property
    def module(self) -> SimpleNamespace:
        """In the place of `time`."""
        return SimpleNamespace(sleep=self.passes, monotonic=self.monotonic)


class Slow(RacingStore):
    """A declared test adapter: a memory store whose listing takes a second per object."""

    clock: Clock

    def list(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        for entry in super().list(prefix):
            self.clock.passes(1)
            yield entry


@pytest.fixture
def clock(ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(ledger.scripts.client)
    for module in (retention, unused):
        monkeypatch.setattr(module, "time", made.module)
    return made


@pytest.fixture
def store(clock: Clock) -> Slow:
    made = Slow()
    made.clock = clock
    return made


@pytest.fixture
def other(settings: Settings) -> Iterator[RedisLedger]:
    """The ledger of somebody else's process."""
    with closing(RedisLedger(settings)) as found:
        yield found


def submit(ledger: RedisLedger, store: Slow, job: str, *inputs: str, seal: bool = True) -> None:
    """A job of one chunk; the next call with its id adds one."""
    ledger.open_job(job, model=MODEL, options=Options(), priority="bulk", name=None)
    first = ledger.status(job).total
    chunk = f"{first:06d}"
    for key in inputs:
        store.put(key, b"picture")
    references = [ImageRef(index=first + number, key=key) for number, key in enumerate(inputs)]
    store.put(keys.chunk_object(job, chunk), encode_lines(references))
    enter(ledger, job, NewChunk(chunk, first, len(inputs), f"digest of {inputs}"))
    if seal:
        ledger.seal(job)


def deletes(ledger: RedisLedger, store: Slow, *candidates: str) -> set[str]:
    """What of these is deleted as unused."""
    before = {key for key, _ in RacingStore.list(store, keys.INPUTS)}
    delete_unused(ledger, store, candidates, lambda _: True, lambda: None)
    return before - {key for key, _ in RacingStore.list(store, keys.INPUTS)}


def test_a_job_whose_listing_outlasts_the_lock_is_removed(ledger: RedisLedger, store: Slow) -> None:
    """Its references as well as what its workers wrote are listed for longer than a silent deletion counts."""
    submit(ledger, store, "large", CAT)
    for number in range(MANY):
        store.put(keys.chunk_object("large", f"9{number:05d}"), b"")
        store.put(keys.overlay_object("large", number, 1, "jpg"), b"overlay")

    assert remove(ledger, store, "large").objects == 2 * MANY + 2
    assert store.buckets[store.bucket] == {}


def test_a_removal_may_wait_long_for_the_workers(ledger: RedisLedger, store: Slow, clock: Clock) -> None:
    """With a lease of minutes a worker may hear of it after the deletion's lock would have run out."""
    submit(ledger, store, "old", CAT)
    looks = iter(range(MANY))

    def held(_: str) -> bool:
        clock.passes(1)
        return next(looks, None) is not None

    ledger.held = held  # type: ignore[method-assign]

    assert remove(ledger, store, "old").objects == 2


def test_a_removal_looks_long_at_what_others_use(ledger: RedisLedger, store: Slow, clock: Clock) -> None:
    """There may be many jobs, also such as have no chunk yet; each of them is a sign of life."""
    for number in range(MANY):
        ledger.open_job(f"new-{number}", model=MODEL, options=Options(), priority="bulk", name=None)
    submit(ledger, store, "live", DOG)
    submit(ledger, store, "old", CAT, DOG)
    slowly(ledger, clock, 2)

    remove(ledger, store, "old")
    assert store.stat(CAT) is None
    assert store.stat(DOG)


def slowly(ledger: RedisLedger, clock: Clock, seconds: float) -> list[str]:
    """Reading a job's chunks takes so long from now on; the jobs that are read."""
    read: list[str] = []
    digests = ledger.digests

    def slow(job: str) -> dict[str, str]:
        read.append(job)
        clock.passes(seconds)
        return digests(job)

    ledger.digests = slow  # type: ignore[method-assign]
    return read


def test_looking_again_reads_only_jobs_that_have_changed(ledger: RedisLedger, store: Slow, clock: Clock) -> None:
    """Submissions wait for that look, so it must not grow with what was there before."""
    for job, is_sealed in (("sealed", True), ("open", False), ("growing", False), ("again", True), ("gone", True)):
        submit(ledger, store, job, CAT, seal=is_sealed)
    used, read = Used(ledger, store), slowly(ledger, clock, 0)
    used.look(lambda: None)
    assert (sorted(read), used.keys) == (["again", "gone", "growing", "open", "sealed"], {CAT})
    read.clear()
    used.look(lambda: None)
    assert read == []

    submit(ledger, store, "growing", DOG)
    for job in ("again", "gone"):
        ledger.remove(job)
    submit(ledger, store, "again", DOG)
    used.look(lambda: None)
    assert (sorted(read), used.keys) == (["again", "growing"], {CAT, DOG})


def test_a_spell_ends_in_time_although_its_look_took_all_of_it(
    ledger: RedisLedger, store: Slow, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is deleted all the same, so that it comes to an end; the rest has a spell of its own."""
    monkeypatch.setattr(unused, "BATCH", 1)
    for key in (CAT, DOG):
        store.put(key, b"nobody's")
    slowly(ledger, clock, unused.SPELL_S + 1)
    spells = []
    begin = ledger.deleting

    def deleting(scope: str, **how: Any) -> Any:
        spells.append(scope)
        submit(ledger, store, f"new-{len(spells)}", "inputs/cc/c")
        return begin(scope, **how)

    ledger.deleting = deleting  # type: ignore[method-assign]

    assert deletes(ledger, store, CAT, DOG) == {CAT, DOG}
    assert len(spells) == 2


def test_what_a_job_reads_elsewhere_is_not_remembered(ledger: RedisLedger, store: Slow) -> None:
    """A billion pictures read in place are not kept in memory, nor deleted, whatever they are called."""
    elsewhere = ["s3://photos/inputs/cat.jpg", f"s3://{store.bucket}/jobs/x/overlays/0-1.jpg"]
    references = encode_lines([ImageRef(index=i, key=key) for i, key in enumerate([*elsewhere, CAT])])
    store.put(keys.chunk_object("job", "000000"), references)

    assert list(unused.inputs(store, [keys.chunk_object("job", "000000")], lambda: None)) == [CAT]


def test_a_removal_waits_for_another_deletion_of_inputs(ledger: RedisLedger, store: Slow, other: RedisLedger) -> None:
    """However long that is at it; its own lock does not run out meanwhile."""
    submit(ledger, store, "old", CAT)
    other.scripts.client.set(keys.DELETING % keys.INPUTS, "somebody", ex=2 * MANY)

    remove(ledger, store, "old")
    assert store.stat(CAT) is None


def test_gc_passes_over_a_job_that_somebody_removes(ledger: RedisLedger, store: Slow, other: RedisLedger) -> None:
    """That one is seen to, and everything else is not to wait for it."""
    for job in ("removed", "expired"):
        submit(ledger, store, job)
        ledger.remove(job)
    submit(ledger, store, "live")
    store.make_old()
    with other.deleting("removed"):
        assert collect(ledger, store) == Deleted(1, 0)

    assert store.stat(keys.chunk_object("removed", "000000"))
    assert collect(ledger, store) == Deleted(1, 0)
