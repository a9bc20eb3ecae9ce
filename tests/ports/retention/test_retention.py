"""Deleting: one job with `remove`, whatever no job needs with `collect`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from producer.retention.delete import MIN_AGE, collect, remove
from producer.retention.unused_inputs import DeletionStats
from shared import keys
from shared.contract import ImageRef, Options, encode_lines
from shared.errors import UnknownJobError, UsageError
from shared.ledger import NewChunk, RedisLedger
from shared.storage import MemoryStore, Stat, job_objects
from tests.support.jobs.ledgers import MODEL, enter

pytestmark = pytest.mark.servers

LONG_AGO = datetime.now(UTC) - timedelta(days=9)
CAT, DOG, OLD = (f"inputs/{letter * 2}/{letter * 64}" for letter in "abc")


class Aged(MemoryStore):
    """A declared test adapter: the memory store, with a way to make objects old."""

    def age(self, *names: str) -> None:
        for name in names:
            self._objects(self.bucket)[name] = (self.get(name), LONG_AGO)

    def names(self) -> set[str]:
        return {key for key, _ in self.list("")}


@pytest.fixture
def store() -> Aged:
    made = Aged()
    made.ensure_bucket()
    return made


def submit(ledger: RedisLedger, store: Aged, job: str, *inputs: str) -> None:
    for key in inputs:
        if key.startswith(keys.INPUTS):
            store.put(key, b"picture")
    store.put(keys.chunk_object(job, "000000"), encode_lines([ImageRef(index=i, key=k) for i, k in enumerate(inputs)]))
    store.put(keys.overlay_object(job, 0, 1, "jpg"), b"overlay")
    ledger.open_job(job, model=MODEL, options=Options(), priority="bulk", name=None)
    enter(ledger, job, NewChunk("000000", 0, len(inputs), "d"))
    ledger.seal(job)


def test_a_removed_job_takes_its_objects_along_and_leaves_the_inputs(ledger: RedisLedger, store: Aged) -> None:
    """They are shared by content; the answer is how many there are, and from when `gc` may delete them."""
    submit(ledger, store, "mine", CAT, DOG, f"s3://elsewhere/{OLD}")
    before = store.names()
    removed = remove(ledger, store, "mine")

    gone = before - store.names()
    assert gone == {"jobs/mine/chunks/000000.jsonl", "jobs/mine/overlays/0-1.jpg"}
    assert removed.deleted.objects == len(gone)
    assert removed.inputs == 2
    assert removed.inputs_until is not None
    assert timedelta() < datetime.now(UTC) + MIN_AGE - removed.inputs_until < timedelta(minutes=1)
    with pytest.raises(UnknownJobError):
        remove(ledger, store, "mine")


@pytest.mark.parametrize("data", [b"{broken", bytes(2000), b'{"index":0}\n' * 5000], ids=["garbage", "large", "lines"])
def test_while_references_cannot_be_read_all_inputs_stay_until_their_job_is_removed(
    ledger: RedisLedger, store: Aged, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """They may name any input; `rm` does its work."""
    monkeypatch.setattr(job_objects, "MOST_REFERENCE_BYTES", 1000 if len(data) == 2000 else 100_000)
    submit(ledger, store, "mine", CAT)
    submit(ledger, store, "other", DOG)
    store.put(OLD, b"picture")
    store.put(keys.chunk_object("mine", "000000"), data)
    store.age(CAT, DOG, OLD)

    assert collect(ledger, store) == DeletionStats(unreadable=(keys.chunk_object("mine", "000000"),))
    assert remove(ledger, store, "mine").deleted.objects == 2
    assert collect(ledger, store).objects == 2
    assert store.stat(DOG) is not None


def test_gc_leaves_an_input_that_a_job_reads_by_its_address(ledger: RedisLedger, store: Aged) -> None:
    """It is in use like one that was uploaded."""
    submit(ledger, store, "place", f"s3://{store.bucket}/{OLD}")
    store.put(OLD, b"picture")
    store.age(OLD)

    assert collect(ledger, store) == DeletionStats(0, 0)


def test_gc_deletes_what_expired_and_leaves_what_lives(ledger: RedisLedger, store: Aged) -> None:
    """Outputs of an expired job and inputs nobody refers to go; everything of a live job stays, however old."""
    submit(ledger, store, "live", CAT)
    submit(ledger, store, "expired", CAT, DOG)
    ledger.remove("expired")
    store.age(*store.names())
    preview = collect(ledger, store, dry_run=True)
    before = store.names()
    deleted = collect(ledger, store)

    assert preview == deleted
    assert before - store.names() == {"jobs/expired/chunks/000000.jsonl", "jobs/expired/overlays/0-1.jpg", DOG}
    assert ledger.known_jobs(expired=True) == ["live"]


def test_gc_leaves_what_is_young_and_what_it_never_heard_of(ledger: RedisLedger, store: Aged) -> None:
    """Young objects may belong to a submission under way, unknown jobs to another ledger."""
    submit(ledger, store, "live", CAT)
    store.put(DOG, b"being submitted")
    store.put("jobs/foreign/overlays/0-1.jpg", b"another ledger's")
    store.age("jobs/foreign/overlays/0-1.jpg")

    assert collect(ledger, store) == DeletionStats(0, 0)
    assert collect(ledger, store, force=True).objects == 1


def test_gc_refuses_on_an_empty_ledger(ledger: RedisLedger, store: Aged) -> None:
    """It may be the wrong Redis, and everything would look like rubbish."""
    store.put(CAT, b"picture")
    store.age(CAT)

    with pytest.raises(UsageError, match="--force"):
        collect(ledger, store)
    assert collect(ledger, store, force=True).objects == 1


def test_an_input_written_again_during_gc_survives(ledger: RedisLedger, store: Aged) -> None:
    """A submission makes an old input young before it refers to it; gc looks again before it deletes."""
    submit(ledger, store, "live", CAT)
    store.put(DOG, b"picture")
    store.age(DOG)

    class RacingStore(Aged):
        def list(self, prefix: str) -> Iterator[tuple[str, Stat]]:
            found = [*super().list(prefix)]
            store.put(DOG, b"picture")  # the submission, between gc's listing and its deletion
            yield from found

    racing = RacingStore(buckets=store.buckets)

    assert collect(ledger, racing) == DeletionStats(0, 0)
    assert DOG in store.names()
