"""Deleting what is no longer wanted: one job now (`rm`), or whatever no job needs any more (`gc`)."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import groupby

from producer.retention.unused_inputs import Deleted, Found, Used, delete, delete_unused, inputs, measure
from shared import keys
from shared.errors import DeletionError, UnknownJobError, UsageError
from shared.ledger.values import Jobs
from shared.storage.port import ObjectStore, Stat

#: Only what is older than a job's retention and a day more is collected; see `submission.upload` for the other half.
MIN_AGE = timedelta(seconds=keys.FINISHED_TTL_S + keys.DAY)
#: Between two looks whether the workers of a removed job have heard of it.
LOOK_S = 0.2


def is_removable(ledger: Jobs, store: ObjectStore, job: str) -> bool:
    """Whether there is the job, or objects of one that expired or whose removal broke off."""
    if _is_live(ledger, job):
        return True
    return job in ledger.known_jobs(expired=True) and any(True for _ in store.list(keys.job_prefix(job)))


def remove(ledger: Jobs, store: ObjectStore, job: str) -> Deleted:
    """Delete a job now: its record, results and overlays, and the inputs that no other job uses.

    Raises UnknownJobError, and DeletionError while it is being deleted already. The ledger forgets the job first, so
    that workers stop writing for it, and they are waited for: a few seconds, a lease at most. A removal that broke
    off is finished by repeating it.
    """
    if not is_removable(ledger, store, job):
        ledger.status(job)  # says so
    with ledger.deleting(job) as go_on:
        ledger.remove(job)
        while ledger.held(job):
            go_on()
            time.sleep(LOOK_S)
        prefix = keys.job_prefix(job)
        # Both listings are worked off as they come: that of a large job lasts longer than the ledger waits for a word.
        mine = set(inputs(store, (key for key, _ in store.list(f"{prefix}chunks/")), go_on))
        # While the references are there, a repeated removal finds the inputs; so these go first.
        deleted = delete_unused(ledger, store, sorted(mine), lambda _: True, go_on) if mine else Deleted()
        return deleted + delete(store, (Found(key, stat.size) for key, stat in store.list(prefix)), go_on)


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

    def is_old(stat: Stat) -> bool:
        return stat.modified < before

    deleted = Deleted()
    listed = (Found(key, stat.size) for key, stat in store.list("jobs/") if is_old(stat))
    for job, group in groupby(listed, lambda entry: _job_of(entry.key)):
        if job not in live and (force or job in known):
            found = list(group)
            deleted += measure(found) if dry_run else _delete_outputs(ledger, store, job, found)
    candidates = [Found(key, stat.size) for key, stat in store.list(keys.INPUTS) if is_old(stat)]
    if dry_run:
        used = Used(ledger, store)
        used.look(_nobody)
        return deleted + measure(entry for entry in candidates if entry.key not in used.keys)
    if candidates:
        deleted += delete_unused(ledger, store, (entry.key for entry in candidates), is_old, _nobody)
    ledger.forget(known - live - {_job_of(key) for key, _ in store.list("jobs/")})
    return deleted


def _delete_outputs(ledger: Jobs, store: ObjectStore, job: str, found: list[Found]) -> Deleted:
    """What an expired job left. While it is deleted, no job of this id can begin; nothing, if one has begun already,
    or if somebody else deletes it now."""
    with ExitStack() as stack:
        try:
            go_on = stack.enter_context(ledger.deleting(job, wait_s=0))
        except DeletionError:
            return Deleted()
        return Deleted() if _is_live(ledger, job) else delete(store, found, go_on)


def _is_live(ledger: Jobs, job: str) -> bool:
    try:
        ledger.status(job)
    except UnknownJobError:
        return False
    return True


def _nobody() -> None:
    """Nobody but the spells themselves has to hear that it goes on."""


def _job_of(key: str) -> str:
    return key.split("/", maxsplit=2)[1]
