"""Jobs of which somebody damaged or removed what Redis knows: their images fail, they end, and no other job is hurt."""

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import redis
from structlog.testing import capture_logs

from shared import keys
from shared.broker import Sender
from shared.config import Settings
from shared.contract import SCHEMA_VERSION, ImageState, JobState
from shared.errors import LostLeaseError
from shared.ledger import Claim, Reaped, RedisLedger
from shared.ledger.worker_side import FAILURES_KEPT, RECORD_LOST
from tests.support.jobs.ledgers import MODEL, claim, serve, submit
from worker.timing.measurements import Measurements
from worker.upkeep.reaper import Reaper

pytestmark = pytest.mark.servers

OK = ImageState.SUCCEEDED
HIGH, BULK = (keys.HINTS % (MODEL, priority) for priority in ("high", "bulk"))
LATER, AGAIN = keys.LATER % MODEL, keys.AGAIN % MODEL


@pytest.fixture
def client(ledger: RedisLedger) -> redis.Redis:
    client: redis.Redis = ledger.scripts.client
    return client


def minute_later(ledger: RedisLedger, job: str = "job") -> Reaped:
    """The next look at the job's images. Nothing is overdue in the queues."""
    ledger.scripts.client.hdel(keys.JOB % job, "audited_at")
    return ledger.reap(MODEL, high_empty=False, bulk_empty=False)


def hours(ledger: RedisLedger) -> Iterator[Reaped]:
    """Leases and messages run out, and a worker commits whatever it gets."""
    for turn in range(3):
        for name in (keys.LEASES, HIGH, BULK):
            for member in ledger.scripts.client.zrange(name, 0, -1):
                ledger.scripts.client.zadd(name, {member: 1})
        ledger.scripts.client.hdel(keys.JOB % "job", "audited_at")
        yield ledger.reap(MODEL, high_empty=True, bulk_empty=True)
        for hint in ledger.refill(MODEL):
            found = ledger.claim(hint.message, f"{turn} {hint.message.task_id}", "w")
            if isinstance(found, Claim):
                ledger.commit(found, [OK] * len(found.indices), {})


@pytest.mark.parametrize("moment", ["pending", "sent", "leased"])
@pytest.mark.parametrize("row", ["{broken", "[]", '{"f":0,"n":3,"s":"p"}', '{"f":3,"n":999,"s":"p","a":0}', None])
def test_the_images_of_a_damaged_record_fail_and_the_job_ends(
    ledger: RedisLedger, client: redis.Redis, moment: str, row: str | None
) -> None:
    """Whenever it was, after all else of the job is done; the others' answers stay."""
    serve(ledger, slots=3)
    submit(ledger, chunks=3)
    client.hset(keys.JOB % "job", "webhook", "http://example.org")
    hints = [] if moment == "pending" else ledger.refill(MODEL)
    claims = [claim(ledger, hint, hint.message.task_id) for hint in hints] if moment == "leased" else []
    if row is None:
        client.hdel(keys.CHUNKS % "job", "000001")
    else:
        client.hset(keys.CHUNKS % "job", "000001", row)
    for found in claims:
        with suppress(LostLeaseError):
            ledger.commit(found, [OK] * 3, {})
    lost = [entry for look in hours(ledger) for entry in look.lost]

    status = ledger.status("job")
    assert lost == [("job", 3)]
    assert (status.state, status.running, status.succeeded, status.failed) == (JobState.PARTIAL, 0, 6, 3)
    assert ledger.failures("job") == dict.fromkeys((3, 4, 5), RECORD_LOST)
    assert client.get(keys.IMAGES % "job") == "sssfffsss"
    assert client.ttl(keys.FAILURES % "job") > 0
    webhook = ledger.claim_webhook(60)
    assert webhook is not None
    assert webhook.job == "job"


NAMED_BY = {
    "leases": lambda client: client.zadd(keys.LEASES, {"job/000000": 9e9}),
    "later": lambda client: client.zadd(LATER, {"job/000000": 9e9}),
    "again": lambda client: client.rpush(AGAIN, "job/000000"),
    "high": lambda client: client.zadd(HIGH, {"job/000000": 9e9}),
    "bulk": lambda client: client.zadd(BULK, {"job/000000": 9e9}),
    "pending": lambda client: client.zadd(keys.PENDING % "job", {"000000": 0}),
    "cancelling": lambda client: client.hset(keys.CANCELLING, "job", 0),
}


@pytest.mark.parametrize("name", NAMED_BY)
def test_nothing_fails_while_any_list_names_a_chunk_of_the_job(
    ledger: RedisLedger, client: redis.Redis, name: str
) -> None:
    """One list at a time; without it, and with other jobs of a similar name in every list, the images fail."""
    submit(ledger)
    client.delete(keys.PENDING % "job")
    NAMED_BY[name](client)
    assert minute_later(ledger).lost == ()
    assert ledger.status("job").failed == 0

    submit(ledger, "jo")
    lists = (keys.LEASES, LATER, AGAIN, HIGH, BULK, keys.CANCELLING)
    client.delete(*lists, keys.PENDING % "jo")
    for members in (keys.LEASES, LATER, HIGH, BULK):
        client.zadd(members, {"job/000000": 9e9, "job2/000000": 9e9})
    client.rpush(AGAIN, "job/000000")
    assert minute_later(ledger, "jo").lost == (("jo", 6),)
    client.delete(*lists, keys.PENDING % "job")  # the test's own, without a TTL


def test_what_was_sent_keeps_no_cancelled_job_waiting(ledger: RedisLedger, client: redis.Redis) -> None:
    """It is not claimed any more; what a worker holds is waited for."""
    submit(ledger)
    hint, *_ = ledger.refill(MODEL)
    claim(ledger, hint)
    ledger.cancel("job")
    client.zadd(BULK, {"job/000001": 9e9})
    assert minute_later(ledger).lost == ()
    assert ledger.status("job").running == 3
    client.delete(keys.LEASES)
    assert minute_later(ledger).lost == ()
    client.delete(BULK)

    status = ledger.status("job")
    assert (status.state, status.running, status.cancelled, status.failed) == (JobState.CANCELLED, 0, 6, 0)


def test_images_of_a_list_that_was_removed_can_be_retried(ledger: RedisLedger, client: redis.Redis) -> None:
    """Their records are whole."""
    serve(ledger, slots=3)
    submit(ledger)
    client.delete(keys.PENDING % "job")
    assert minute_later(ledger).lost == (("job", 6),)
    assert ledger.status("job").state is JobState.FAILED
    assert ledger.retry("job", range(6)) == 6
    assert [look.lost for look in hours(ledger)] == [()] * 3
    assert ledger.status("job").state is JobState.SUCCEEDED


def test_a_job_that_is_being_submitted_or_of_a_newer_release_is_left_alone(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    """Nobody here can say what it waits for."""
    submit(ledger)
    client.delete(keys.PENDING % "job")
    for field, value, own in (("sealed", "0", "1"), ("schema_version", SCHEMA_VERSION + 1, SCHEMA_VERSION)):
        client.hset(keys.JOB % "job", field, value)
        assert minute_later(ledger).lost == ()
        client.hset(keys.JOB % "job", field, own)
    assert minute_later(ledger).lost == (("job", 6),)


def test_many_images_fail_a_megabyte_at_a_time_and_the_first_keep_their_sentence(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    """So that Redis is never busy for long; all are counted, and no minute passes between."""
    submit(ledger, chunks=2, size=700_000)
    client.delete(keys.PENDING % "job")
    assert minute_later(ledger).lost == (("job", 1 << 20),)
    assert ledger.status("job").state is JobState.QUEUED
    found = ledger.reap(MODEL, high_empty=False, bulk_empty=False)

    assert found.lost == (("job", 1_400_000 - (1 << 20)),)
    status = ledger.status("job")
    assert (status.state, status.failed) == (JobState.FAILED, 1_400_000)
    assert ledger.failures("job") == dict.fromkeys(range(FAILURES_KEPT), RECORD_LOST)


def test_failures_that_camq_did_not_write_keep_no_job_from_its_end(ledger: RedisLedger, client: redis.Redis) -> None:
    """There is no room for the sentences, but every image is counted."""
    submit(ledger)
    client.delete(keys.PENDING % "job")
    client.set(keys.FAILURES % "job", "x")
    minute_later(ledger)

    assert ledger.status("job").failed == 6


def test_the_reaper_says_which_job_lost_how_many_images(
    ledger: RedisLedger, client: redis.Redis, settings: Settings
) -> None:
    """One line for each job."""
    submit(ledger)
    submit(ledger, "other", chunks=1)
    client.delete(keys.PENDING % "job", keys.PENDING % "other")
    with closing(Sender(settings)) as sender, capture_logs() as logs:
        Reaper(ledger, sender, MODEL, Measurements()).reap()

    assert [(entry["job"], entry["images"]) for entry in logs if "images" in entry] == [("job", 6), ("other", 3)]
