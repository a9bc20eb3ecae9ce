"""Jobs of which somebody wrote over what Redis knows: every image of them ends, and no other is lost."""

import pytest

from producer.inputs.source import BytesSource
from producer.results.records import records
from producer.services import Services
from shared import keys
from shared.contract import ErrorInfo, ImageState, JobState
from shared.errors import NotFoundError
from shared.ledger import Claim, RedisLedger
from tests.scripted_worker import MODEL, ScriptedWorker
from tests.submitting import CountingStore, pictures, send
from worker.upkeep.restore import restore

pytestmark = pytest.mark.servers


def named(count: int, *broken: int) -> list[BytesSource]:
    """Pictures of which some fail at first."""
    return [BytesSource(f"{n}{'-broken' * (n in broken)}.png", data) for n, data in enumerate(pictures(count))]


def hour_later(ledger: RedisLedger, store: CountingStore, job: str) -> None:
    """Leases and messages run out, and the job is looked at again: what a reaper does."""
    client = ledger.scripts.client
    for name in (keys.LEASES, *(keys.HINTS % (MODEL, priority) for priority in ("high", "bulk"))):
        for member in client.zrange(name, 0, -1):
            client.zadd(name, {member: 1})
    found = ledger.reap(MODEL, high_empty=True, bulk_empty=True)
    for _ in range(2):
        client.hdel(keys.JOB % job, "audited_at")
        found = ledger.reap(MODEL, high_empty=True, bulk_empty=True)
        for stranded in found.stranded:
            restore(ledger, store, stranded)


def work_off(ledger: RedisLedger, worker: ScriptedWorker) -> None:
    """Every chunk that is sent; what cannot be read is sent to nobody."""
    worker.beat()
    while hints := ledger.refill(MODEL):
        for hint in hints:
            claim = ledger.claim(hint.message, hint.message.task_id, worker.info.worker)
            if not isinstance(claim, Claim):
                continue
            try:
                worker.finish(claim)
            except NotFoundError as error:  # as a worker does whose chunk has no references
                failed = ErrorInfo("not_found", str(error))
                ledger.commit(claim, [ImageState.FAILED] * len(claim.indices), dict.fromkeys(claim.indices, failed))


def go_on(ledger: RedisLedger, store: CountingStore, worker: ScriptedWorker, job: str) -> None:
    """Hours of a worker's life."""
    for _ in range(3):
        hour_later(ledger, store, job)
        work_off(ledger, worker)


def damage(ledger: RedisLedger, job: str, chunk: str, row: str | None) -> None:
    client = ledger.scripts.client
    if row is None:
        client.hdel(keys.CHUNKS % job, chunk)
    else:
        client.hset(keys.CHUNKS % job, chunk, row)


@pytest.mark.parametrize("moment", ["pending", "sent", "leased", "done"])
@pytest.mark.parametrize("row", ["{broken", "[]", '{"f":0,"n":4,"s":"p"}', '{"f":4,"n":999,"s":"p","a":0}', None])
def test_a_job_whose_chunk_record_is_damaged_ends_whole(
    services: Services, worker: ScriptedWorker, store: CountingStore, moment: str, row: str | None
) -> None:
    """Whenever it was: the record is made again from the references, and the answers of all images are there."""
    ledger, job = services.ledger, send(services, pictures(10))
    if moment != "pending":
        ledger.refill(MODEL)
    if moment in ("leased", "done"):
        claim = worker.claim_next(job)
        assert claim is not None
        if moment == "done":
            worker.finish(claim)
            damage(ledger, job, "000001", "{broken")  # another one, without which the job would end
    damage(ledger, job, "000000", row)
    go_on(ledger, store, worker, job)

    assert ledger.status(job).state is JobState.SUCCEEDED
    found = list(records(ledger, store, job))
    assert [record.index for record in found] == list(range(10))
    assert {len(record.predictions) for record in found} == {3}


def test_a_damaged_record_of_a_retry_leaves_the_answers_of_the_first_try(
    services: Services, worker: ScriptedWorker, store: CountingStore
) -> None:
    """Its images are retried once more, in another chunk; those that had succeeded keep their answers."""
    ledger, job = services.ledger, send(services, named(6, 1, 3, 5))
    worker.work_off(job)
    ledger.retry(job, range(6))
    worker.broken = None
    damage(ledger, job, "000000r1", "{broken")
    go_on(ledger, store, worker, job)

    assert ledger.status(job).state is JobState.SUCCEEDED
    assert [len(record.predictions) for record in records(ledger, store, job)] == [3] * 6
    assert "000000r2" in ledger.scripts.client.hkeys(keys.CHUNKS % job)


def test_the_answer_of_a_damaged_retry_is_found_again(
    services: Services, worker: ScriptedWorker, store: CountingStore
) -> None:
    """Its results object says which images it had."""
    ledger, job = services.ledger, send(services, named(8, *range(8)))
    worker.work_off(job)
    ledger.retry(job, range(8))
    worker.broken = None
    claim = worker.claim_next(job)
    assert claim is not None
    worker.finish(claim)
    other = "000000r1" if claim.message.chunk == "000001r1" else "000001r1"
    for chunk in (claim.message.chunk, other):
        damage(ledger, job, chunk, "{broken")
    go_on(ledger, store, worker, job)

    assert [len(record.predictions) for record in records(ledger, store, job)] == [3] * 8


@pytest.mark.parametrize("lose", [keys.LEASES, keys.HINTS % (MODEL, "high"), keys.HINTS % (MODEL, "bulk")])
def test_a_lost_list_of_what_is_in_hand_ends_no_wait_for_it(
    services: Services, worker: ScriptedWorker, store: CountingStore, lose: str
) -> None:
    """Chunks that nobody will find overdue are found by their images."""
    ledger, job = services.ledger, send(services, pictures(10))
    claim = worker.claim_next(job)
    assert isinstance(claim, Claim)
    ledger.scripts.client.delete(lose)
    go_on(ledger, store, worker, job)

    assert ledger.status(job).state is JobState.SUCCEEDED


def test_images_whose_references_are_gone_too_fail_alone(
    services: Services, worker: ScriptedWorker, store: CountingStore
) -> None:
    """Which they are follows from their neighbours. The worker that claims them finds nothing to read."""
    ledger, job = services.ledger, send(services, pictures(10))
    damage(ledger, job, "000001", "{broken")
    store.delete([keys.chunk_object(job, "000001")])
    go_on(ledger, store, worker, job)

    assert set(ledger.failures(job)) == {4, 5, 6, 7}
    status = ledger.status(job)
    assert (status.state, status.succeeded, status.failed) == (JobState.PARTIAL, 6, 4)


@pytest.mark.parametrize("hold", ["pending", "sent", "leased", "later"])
def test_nothing_is_restored_while_a_chunk_of_the_job_is_in_hand(
    services: Services, worker: ScriptedWorker, store: CountingStore, hold: str
) -> None:
    """Or its images would run twice."""
    ledger, job = services.ledger, send(services, pictures(30), priority="bulk")
    if hold in ("leased", "later"):
        ledger.scripts.client.delete(keys.PENDING % job)
        claim = worker.claim_next(job)
        assert isinstance(claim, Claim)
        if hold == "later":
            ledger.release(claim, raised="ValueError: no")

    assert ledger.reap(MODEL, high_empty=False, bulk_empty=False).stranded == ()
    assert restore(ledger, store, job) == 0
    assert ledger.status(job).total == 30
