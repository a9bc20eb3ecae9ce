"""Deleting what is no longer wanted: one job now (`rm`), or whatever no job needs any more (`gc`)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from producer.parallel import ordered
from shared import keys
from shared.contract import ImageRef, decode_lines
from shared.errors import NotFoundError, UsageError
from shared.ledger.ports import Jobs
from shared.storage.port import SCHEME, ObjectStore

#: Only what is older than a job's retention and a day more is collected; see `producer.upload` for the other half.
MIN_AGE = timedelta(seconds=keys.FINISHED_TTL_S + keys.DAY)
THREADS = 8
#: Objects looked at and deleted together.
BATCH = 100


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted, or would be."""

    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Found:
    key: str
    size: int


def remove(ledger: Jobs, store: ObjectStore, job: str) -> Deleted:
    """Delete a job now: its record, results and overlays, and the inputs that no other job uses.

    Raises UnknownJobError. The ledger forgets the job first, so that workers stop writing for it.
    """
    ledger.status(job)  # says so if there is none
    mine = set(_inputs(store, job, ledger.chunks(job)))
    others = [other for other in ledger.known_jobs() if other != job]
    for other in others:
        mine.difference_update(_inputs(store, other, ledger.chunks(other)))
    ledger.remove(job)
    found = [_Found(key, stat.size) for key, stat in store.list(keys.job_prefix(job))]
    uploaded = sorted(key for key in mine if key.startswith("inputs/"))
    found += [_Found(key, stat.size) for key in uploaded if (stat := store.stat(key)) is not None]
    return _delete(store, found)


def collect(ledger: Jobs, store: ObjectStore, *, force: bool = False, dry_run: bool = False) -> Deleted:
    """Delete what is older than `MIN_AGE` and belongs to no job: outputs of expired jobs, inputs nobody refers to.

    The ledger's index of jobs outlives their records: objects of a job that the index does not know are left
    alone, for they may belong to another ledger. Raises UsageError when the index is empty (the wrong Redis,
    or one that lost its data) unless `force`, which also deletes what the index does not know.
    """
    known = set(ledger.known_jobs(expired=True))
    live = set(ledger.known_jobs())
    if not known and not force:
        raise UsageError(
            "the ledger knows no job at all: is CAMQ_REDIS_URL right? With --force everything old is deleted"
        )
    before = datetime.now(UTC) - MIN_AGE
    used: set[str] = set()
    for job in live:
        used.update(_inputs(store, job, ledger.chunks(job)))
    total = Deleted(0, 0)

    def is_rubbish(key: str) -> bool:
        if key.startswith("inputs/"):
            return key not in used
        return _job_of(key) not in live and (force or _job_of(key) in known)

    for prefix in ("jobs/", "inputs/"):
        listed = store.list(prefix)
        old = [_Found(key, stat.size) for key, stat in listed if stat.modified < before and is_rubbish(key)]
        for start in range(0, len(old), BATCH):
            # Looked at once more, shortly before: a submission may have written an input again since it was listed.
            batch = old[start : start + BATCH]
            still = [found for found in batch if (stat := store.stat(found.key)) is not None and stat.modified < before]
            part = Deleted(len(still), sum(found.size for found in still)) if dry_run else _delete(store, still)
            total = Deleted(total.objects + part.objects, total.bytes + part.bytes)
    if not dry_run:
        ledger.forget(known - live - {_job_of(key) for key, _ in store.list("jobs/")})
    return total


def _inputs(store: ObjectStore, job: str, chunks: Iterable[str]) -> Iterator[str]:
    """The keys in camq's bucket that a job refers to; what it reads in place elsewhere is none of ours to delete."""
    own = f"{SCHEME}{store.bucket}/"

    def load(chunk: str) -> list[ImageRef]:
        try:
            return decode_lines(store.get(keys.chunk_object(job, chunk)), ImageRef)
        except NotFoundError:
            return []

    for refs in ordered(load, chunks, threads=THREADS):
        yield from (ref.key.removeprefix(own) for ref in refs if ref.key)


def _delete(store: ObjectStore, found: list[_Found]) -> Deleted:
    store.delete(entry.key for entry in found)
    return Deleted(len(found), sum(entry.size for entry in found))


def _job_of(key: str) -> str:
    return key.split("/", maxsplit=2)[1]
