"""Deleting what is no longer wanted: one job now (`rm`), or whatever no job needs any more (`gc`)."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import TypeVar

from producer.retention.unused_inputs import DeletionStats, ListedObject, delete_unused, inputs
from shared import keys
from shared.errors import DeletionError, UnknownJobError, UsageError
from shared.ledger import RedisLedger
from shared.storage.port import ObjectStore, Stat

#: Only what is older than a job's retention and a day more is collected; see `submission.upload` for the other half.
MIN_AGE = timedelta(seconds=keys.FINISHED_TTL_S + keys.DAY)
#: Between two looks whether the workers of a removed job know that it is gone.
LOOK_S = 0.2
#: Objects deleted together before the ledger hears that the deletion continues.
BATCH = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Removed:
    """What the removal of a job deleted; how many of its images have their input in camq's bucket, and from when `gc`
    may delete those inputs if no other job uses them."""

    deleted: DeletionStats
    inputs: int = 0
    inputs_until: datetime | None = None


def is_removable(ledger: RedisLedger, store: ObjectStore, job: str) -> bool:
    """Whether there is the job, or objects of one that expired or whose removal broke off."""
    if _is_live(ledger, job):
        return True
    return job in ledger.known_jobs(expired=True) and any(True for _ in store.list(keys.job_prefix(job)))


def remove(ledger: RedisLedger, store: ObjectStore, job: str) -> Removed:
    """Delete a job now: its record, results and overlays. Its inputs stay: other jobs may share them.

    Raises UnknownJobError, and DeletionError while it is being deleted already. The ledger forgets the job first, so
    that workers stop writing for it, and they are waited for: a few seconds, a lease at most. A removal that broke
    off is finished by repeating it.
    """
    if not is_removable(ledger, store, job):
        ledger.status(job)  # raises the error
    with ledger.deleting(job) as keepalive:
        ledger.remove(job)
        while ledger.held(job):
            keepalive()
            time.sleep(LOOK_S)
        kept, newest = 0, datetime.min.replace(tzinfo=UTC)
        prefix = keys.job_prefix(job)
        # Worked off as it is listed: the listing of a large job lasts longer than the ledger waits for a keepalive.
        for references in _batches(store.list(f"{prefix}chunks/")):
            keepalive()
            kept += sum(1 for _ in inputs(store, (key for key, _ in references)))
            newest = max(newest, *(stat.modified for _, stat in references))
        deleted = _delete(store, (ListedObject(key, stat.size) for key, stat in store.list(prefix)), keepalive)
    # An input was written, or was young enough, before the references that name it were written.
    return Removed(deleted, kept, newest + MIN_AGE if kept else None)


def collect(ledger: RedisLedger, store: ObjectStore, *, force: bool = False, dry_run: bool = False) -> DeletionStats:
    """Delete what is older than `MIN_AGE` and belongs to no job: outputs of expired jobs, inputs nobody refers to.

    The ledger's index of jobs outlives their records: objects of a job that the index does not know are left
    alone, for they may belong to another ledger. Raises UsageError when the index is empty (the wrong Redis,
    or one that lost its data) unless `force`, which also deletes what the index does not know.
    """
    known = _known(ledger, force)
    live = set(ledger.known_jobs())
    before = datetime.now(UTC) - MIN_AGE

    def is_old(stat: Stat) -> bool:
        return stat.modified < before

    deleted = DeletionStats()
    listed = (ListedObject(key, stat.size) for key, stat in store.list("jobs/") if is_old(stat))
    for job, group in groupby(listed, lambda entry: _job_of(entry.key)):
        if job not in live and (force or job in known):
            found = list(group)
            deleted += _measure(found) if dry_run else _delete_outputs(ledger, store, job, found)
    if candidates := [ListedObject(key, stat.size) for key, stat in store.list(keys.INPUTS) if is_old(stat)]:
        deleted += delete_unused(ledger, store, candidates, is_old, dry_run)
    if not dry_run:
        ledger.forget(known - live - {_job_of(key) for key, _ in store.list("jobs/")})
    return deleted


def collect_now(
    ledger: RedisLedger, store: ObjectStore, *, force: bool = False, dry_run: bool = False
) -> DeletionStats:
    """Delete inputs of any age to which no job refers. No job can begin meanwhile.

    Raises UsageError while a submission is open, for its uploads are not registered yet, and as `collect` does;
    DeletionError when there was not time for all of it.
    """
    _known(ledger, force)
    with ledger.collecting() as has_time:
        if unsealed := ledger.unsealed():
            raise UsageError(
                f"open submissions: {len(unsealed)}, the first is job {unsealed[0]}. Wait until all have ended, or "
                "end an interrupted one with `camq seal` or `camq rm`"
            )
        listed = (ListedObject(key, stat.size) for key, stat in store.list(keys.INPUTS))
        deleted = delete_unused(ledger, store, listed, lambda _: has_time(), dry_run)
        if not has_time():
            raise DeletionError(f"time ran out after deleting {deleted.objects} inputs; run it again for the rest")
    return deleted


def _known(ledger: RedisLedger, force: bool) -> set[str]:
    known = set(ledger.known_jobs(expired=True))
    if not known and not force:
        raise UsageError("Redis has no jobs at all: is CAMQ_REDIS_URL right? If so, --force deletes everything old")
    return known


def _delete_outputs(ledger: RedisLedger, store: ObjectStore, job: str, found: list[ListedObject]) -> DeletionStats:
    """Delete what an expired job left. No job of this id can begin meanwhile; nothing is deleted if one has begun
    already, or if another process deletes it now."""
    with ExitStack() as stack:
        try:
            keepalive = stack.enter_context(ledger.deleting(job, wait_s=0))
        except DeletionError:
            return DeletionStats()
        return DeletionStats() if _is_live(ledger, job) else _delete(store, found, keepalive)


def _delete(store: ObjectStore, found: Iterable[ListedObject], keepalive: Callable[[], None]) -> DeletionStats:
    deleted = DeletionStats()
    for batch in _batches(found):
        keepalive()
        store.delete(entry.key for entry in batch)
        deleted += _measure(batch)
    return deleted


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch


def _measure(found: Iterable[ListedObject]) -> DeletionStats:
    return sum((DeletionStats(1, entry.size) for entry in found), DeletionStats())


def _is_live(ledger: RedisLedger, job: str) -> bool:
    try:
        ledger.status(job)
    except UnknownJobError:
        return False
    return True


def _job_of(key: str) -> str:
    return key.split("/", maxsplit=2)[1]
