"""What the ledger bounds and what it makes of a Redis, or a clock, that fails it."""

import pytest
import redis

from shared import keys
from shared.config import Settings
from shared.contract import ErrorInfo, ImageState, Options
from shared.errors import UnreachableError, UsageError
from shared.ledger import NewChunk, RedisLedger
from shared.ledger.scripts import Scripts
from shared.ledger.worker_side import MESSAGE_KEPT
from tests.support.jobs.ledgers import MODEL, claim, enter, serve, submit

pytestmark = pytest.mark.servers

BAD = ImageState.FAILED


def test_the_sentence_of_a_failure_is_kept_in_short(ledger: RedisLedger) -> None:
    """Ten thousand of them stay in memory; the results object has each whole."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    long = ErrorInfo("not_an_image", "x" * 100_000)
    ledger.commit(claim(ledger, hint), [BAD] * 3, {0: long, 1: ErrorInfo("empty", "no bytes")})

    kept = ledger.failures("job")
    assert (len(kept[0].message), kept[0].message[-2:]) == (MESSAGE_KEPT, "x…")
    assert kept[1] == ErrorInfo("empty", "no bytes")


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        redis.exceptions.ReadOnlyError("You can't write against a read only replica."),
        redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        redis.BusyLoadingError("Redis is loading the dataset in memory"),
        redis.ResponseError("NOREPLICAS Not enough good replicas to write."),
        redis.ResponseError("ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write."),
        redis.ResponseError("Command # 1 (SET a b) of pipeline caused error: NOREPLICAS Not enough good replicas."),
        redis.ResponseError("MISCONF Redis is configured to save RDB snapshots, but it is unable to."),
    ],
)
def test_a_refusal_that_passes_is_an_outage(error: Exception) -> None:
    """A failover or a full disk is waited out, and fails nobody's image."""
    scripts = Scripts(redis.Redis(), "here:6379")
    with pytest.raises(UnreachableError, match="here:6379"), scripts.translated():
        raise error


def test_a_fault_of_ours_is_no_outage() -> None:
    """Waiting would not mend it."""
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"), Scripts(redis.Redis(), "here:6379").translated():
        raise redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")


def test_a_master_without_its_replicas_is_waited_for(ledger: RedisLedger) -> None:
    """As a real Redis says it, to a script."""
    submit(ledger, chunks=1)
    client = ledger.scripts.client
    client.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(UnreachableError, match="NOREPLICAS"):
            ledger.cancel("job")
    finally:
        client.config_set("min-replicas-to-write", 0)


def test_a_clock_that_was_set_back_delays_recovery_by_a_lease_at_most(ledger: RedisLedger, settings: Settings) -> None:
    """After a failover to a host whose clock is an hour behind, every deadline would be an hour away."""
    client = ledger.scripts.client
    ledger.scripts = Scripts(client, "the test's Redis", clock="local NOW = tonumber(redis.call('GET', 'test:now'))\n")

    def at(now: float) -> tuple[int, int]:
        client.set("test:now", now)
        found = ledger.reap(MODEL, high_empty=True, bulk_empty=False)
        return found.leases, found.hints

    at(1_000_000)
    serve(ledger)
    submit(ledger, chunks=3)
    held, sent = ledger.refill(MODEL)
    claim(ledger, held)
    client.delete(keys.WORKER % "w")
    back = 1_000_000 - 3600.0

    assert at(back) == (0, 0)
    assert not client.exists(keys.CLAIMED % (MODEL, "bulk")), "a message sent from now on would look older than this"
    third = settings.lease_s / 3
    assert [at(back + step) for step in (third, 2 * third, 3 * third)] == [(0, 0), (0, 0), (1, 0)]
    assert client.zscore(keys.HINTS % (MODEL, "bulk"), f"job/{sent.message.chunk}") <= back + settings.hint_s
    client.delete("test:now")


def test_a_chunk_with_other_content_is_neither_reserved_nor_registered(ledger: RedisLedger) -> None:
    """A refusal leaves no key of the job behind without its lifetime."""
    ledger.open_job("job", model=MODEL, options=Options(), priority="bulk", name=None)
    client = ledger.scripts.client
    first, second, other = NewChunk("000000", 0, 1, "d"), NewChunk("000001", 1, 1, "d"), NewChunk("000000", 0, 1, "e")
    enter(ledger, "job", first)
    with pytest.raises(UsageError, match="other pictures or ids"):
        ledger.reserve("job", other)
    assert not client.exists(keys.RESERVED % "job")
    assert ledger.reserve("job", first) is True
    assert ledger.reserve("job", second) is False
    with pytest.raises(UsageError, match="other pictures or ids"):
        ledger.register("job", other)

    assert ledger.chunks("job") == ["000000"]
    assert client.ttl(keys.RESERVED % "job") > 0


def test_the_holders_of_images_are_found_whatever_the_chunks_sizes(ledger: RedisLedger) -> None:
    """The first, the last and some between; what no chunk holds has no holder."""
    ledger.open_job("job", model=MODEL, options=Options(), priority="bulk", name=None)
    for number, (first, count) in enumerate([(0, 3), (3, 6), (9, 1), (10, 128)]):
        enter(ledger, "job", NewChunk(f"{number:06d}", first, count, f"digest {number}"))

    assert ledger.holders("job", [137, 9, 2, 0, 138, 500]) == {"000000": {0, 2}, "000002": {9}, "000003": {137}}
    assert ledger.holders("job", []) == {}
