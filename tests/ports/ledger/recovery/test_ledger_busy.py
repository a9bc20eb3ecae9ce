"""No call keeps Redis busy for long, however much waits and whatever somebody wrote there."""

import pytest
import redis

from shared import keys
from shared.contract import SCHEMA_VERSION, encode
from shared.ledger import RedisLedger
from shared.ledger.worker_side import AUDIT_S, FAILURES_KEPT, RECORD_LOST, SWEEP_LIMIT
from tests.support.jobs.ledgers import MODEL, serve, submit

pytestmark = pytest.mark.servers


def commands(client: redis.Redis) -> int:
    """How many were called since the last look; what scripts call counts as well."""
    found = sum(row["calls"] for row in client.info("commandstats").values())  # type: ignore[union-attr]
    client.config_resetstat()
    return int(found)


def test_what_waits_of_cancelled_jobs_is_passed_over_piece_by_piece(ledger: RedisLedger) -> None:
    """Ten thousand chunks that raised, all of them due: no call looks at more than some hundreds, and each call at
    others, until work behind them comes to its turn."""
    client = ledger.scripts.client
    submit(ledger, chunks=1)
    client.delete(keys.PENDING % "job")
    ledger.cancel("job")
    client.zadd(keys.LATER % MODEL, {f"job/{n:06d}": 1 for n in range(5000)} | {"good/000000": 2})
    client.expire(keys.LATER % MODEL, keys.DAY)
    submit(ledger, "good", chunks=1)
    client.delete(keys.PENDING % "good")
    commands(client)

    sent = []
    for _ in range(60):
        sent += [hint.message.job for hint in ledger.refill(MODEL)]
        assert commands(client) < 3000
    assert sent == ["good"]


@pytest.mark.parametrize("owed", ["1000000", "1e300", "inf", "1.5", "x"])
def test_turns_that_a_job_is_said_to_owe_keep_nobody_busy(ledger: RedisLedger, owed: str) -> None:
    """Neither Redis nor the other jobs."""
    client = ledger.scripts.client
    serve(ledger, slots=3)
    submit(ledger)
    client.hset(keys.JOB % "job", "turns_owed", owed)
    submit(ledger, "good", chunks=1)
    commands(client)

    assert "good" in [hint.message.job for hint in ledger.refill(MODEL)]
    assert commands(client) < 5000


def test_a_job_that_is_alone_pays_at_once_what_it_owes(ledger: RedisLedger) -> None:
    """There is nobody to give its turns to, and jobs that come later are not owed any."""
    serve(ledger, slots=2)
    submit(ledger, chunks=9)
    ledger.scripts.client.hset(keys.JOB % "job", "turns_owed", 50)

    assert len(ledger.refill(MODEL)) == 4
    assert ledger.scripts.client.hget(keys.JOB % "job", "turns_owed") == "0"


def test_jobs_that_all_owe_turns_are_served_all_the_same(ledger: RedisLedger) -> None:
    """More turns than a call passes over: the call must not end with nothing sent and a worker at rest."""
    serve(ledger, slots=3)
    for job in ("a", "b", "c"):
        submit(ledger, job, chunks=3)
        ledger.scripts.client.hset(keys.JOB % job, "turns_owed", 100)

    assert len(ledger.refill(MODEL)) == 6


def test_the_smallest_debt_is_paid_first(ledger: RedisLedger) -> None:
    """What is forgiven is the debt of one that waited for a whole round, not of one before whom another is free."""
    serve(ledger, slots=1)
    for job, owed in (("a", 1), ("b", 50)):
        submit(ledger, job, chunks=3)
        ledger.scripts.client.hset(keys.JOB % job, "turns_owed", owed)

    assert ledger.refill(MODEL)[0].message.job == "a"


def test_jobs_are_audited_without_reading_every_list_for_each(ledger: RedisLedger) -> None:
    """Two hundred jobs of one picture each, all of them in the list of what failed before."""
    client = ledger.scripts.client
    for n in range(SWEEP_LIMIT):
        submit(ledger, f"job-{n}", chunks=1, size=1)
        client.delete(keys.PENDING % f"job-{n}")
    client.zadd(keys.LATER % MODEL, {f"job-{n}/000000": 9e9 for n in range(SWEEP_LIMIT)})
    client.expire(keys.LATER % MODEL, keys.DAY)
    commands(client)
    ledger.scripts("sweep", SWEEP_LIMIT, AUDIT_S, SCHEMA_VERSION, encode(RECORD_LOST).decode(), FAILURES_KEPT)

    stats = client.info("commandstats")
    assert stats["cmdstat_zrange"]["calls"] < 10
    assert all(status.failed == 0 for status in ledger.jobs(SWEEP_LIMIT))


@pytest.mark.parametrize("sealed", [True, False])
def test_a_job_that_lost_its_turn_gets_another(ledger: RedisLedger, sealed: bool) -> None:
    """The list was removed, whether others stand in it again or not."""
    client = ledger.scripts.client
    serve(ledger, slots=3)
    submit(ledger)
    if not sealed:
        client.hset(keys.JOB % "job", "sealed", "0")
    client.delete(keys.TURNS % (MODEL, "bulk"))
    assert ledger.refill(MODEL) == []
    submit(ledger, "other", chunks=9)
    ledger.reap(MODEL, high_empty=True, bulk_empty=True)
    assert sorted(client.lrange(keys.TURNS % (MODEL, "bulk"), 0, -1)) == ["job", "other"]
    client.hdel(keys.JOB % "job", "audited_at")  # a minute later
    ledger.reap(MODEL, high_empty=True, bulk_empty=True)

    assert client.llen(keys.TURNS % (MODEL, "bulk")) == 2
    assert [hint.message.job for hint in ledger.refill(MODEL)].count("job") == 2


def test_a_job_that_is_submitted_again_has_one_turn(ledger: RedisLedger) -> None:
    """Although its earlier life had one when it was removed."""
    client = ledger.scripts.client
    submit(ledger)
    ledger.remove("job")
    submit(ledger)
    assert client.lrange(keys.TURNS % (MODEL, "bulk"), 0, -1) == ["job"]
