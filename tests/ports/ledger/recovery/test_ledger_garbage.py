"""Values in Redis that camq did not write, while jobs are worked off: each costs at most its own job."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from shared import keys
from shared.contract import ErrorInfo, ImageState, JobState, encode
from shared.errors import LostLeaseError, MessageError
from shared.ledger import Claim, RedisLedger
from shared.ledger.worker_side import RAISED_IN_QUARANTINE, RAISED_TO_QUARANTINE
from tests.support.jobs.ledgers import MODEL, claim, come_due, serve, submit

pytestmark = pytest.mark.servers

OK = ImageState.SUCCEEDED
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
NESTED = VALUES | st.lists(VALUES, max_size=3)
#: A record as camq writes it, of which some fields are replaced, or something else altogether.
RECORDS = st.one_of(
    st.binary(max_size=20),
    NESTED.map(encode),
    st.dictionaries(st.sampled_from("fnsaxkowqbemvdp"), NESTED | st.sampled_from("phldcxf"), max_size=15).map(
        lambda fields: encode({"f": 0, "n": 3, "s": "p", "a": 0, "d": "digest-0"} | fields)
    ),
)


def work_off(ledger: RedisLedger, token: str) -> None:
    """What a worker does with whatever there is, until nothing is sent any more."""
    for _ in range(12):
        ledger.reap(MODEL, high_empty=True, bulk_empty=True)
        claims = [ledger.claim(hint.message, f"{token} {hint.message.task_id}", "w") for hint in ledger.refill(MODEL)]
        held = [found for found in claims if isinstance(found, Claim)]
        assert len(ledger.renew(held)) == len(held)
        for found in held:
            with suppress(LostLeaseError):
                ledger.commit(found, [OK] * len(found.indices), {})
        if not claims:
            return


@pytest.mark.parametrize("state", ["pending", "sent", "leased", "done"])
def test_a_chunk_record_that_camq_did_not_write_costs_its_own_job_alone(ledger: RedisLedger, state: str) -> None:
    """Whatever state its chunk was in: no call fails, and another job's chunks are sent, kept and counted."""

    @given(raw=RECORDS)
    @hypothesis_settings(max_examples=60, deadline=None, database=None)
    def check(raw: bytes) -> None:
        ledger.scripts.client.flushall()
        serve(ledger, slots=3)
        submit(ledger, "bad", chunks=2)
        hints = [] if state == "pending" else ledger.refill(MODEL)
        claims = [claim(ledger, hint, hint.message.task_id) for hint in hints if state != "sent"]
        if state == "done":
            for found in claims:
                ledger.commit(found, [OK] * 3, {})
        submit(ledger, "good", chunks=3)
        ledger.scripts.client.hset(keys.CHUNKS % "bad", "000000", raw)

        ledger.renew(claims)
        for found in claims:
            with suppress(LostLeaseError):
                ledger.release(found)
        ledger.take("bad", "000000", "another", "w")
        work_off(ledger, "token")

        assert ledger.status("good").state is JobState.SUCCEEDED

    check()


COUNTERS = ["total", "running", "succeeded", "failed", "cancelled"]


@pytest.mark.parametrize("moment", ["pending", "leased", "done"])
@pytest.mark.parametrize("name", COUNTERS)
def test_counters_that_camq_did_not_write_are_counted_anew_and_the_job_ends(
    ledger: RedisLedger, name: str, moment: str
) -> None:
    """With the true numbers, whenever it was and whatever stands there: a smaller number alone is seen by nobody."""

    @given(value=st.sampled_from(["x", "", "-5", "1", "999", "1e3", "9" * 30, None]))
    @hypothesis_settings(max_examples=8, deadline=None, database=None)
    def check(value: str | None) -> None:
        client = ledger.scripts.client
        client.flushall()
        serve(ledger, slots=3)
        submit(ledger, chunks=2)
        hints = [] if moment == "pending" else ledger.refill(MODEL)
        claims = [claim(ledger, hint, hint.message.task_id) for hint in hints]
        if moment == "done":
            ledger.commit(claims.pop(), [OK, ImageState.FAILED, OK], {1: ErrorInfo("empty", "it is empty")})
        client.hset(keys.JOB % "job", name, value) if value is not None else client.hdel(keys.JOB % "job", name)
        for found in claims:
            ledger.commit(found, [OK, OK, OK], {})
        work_off(ledger, "token")
        client.hdel(keys.JOB % "job", "audited_at")  # a minute later
        ledger.reap(MODEL, high_empty=True, bulk_empty=True)

        status = ledger.status("job")
        failed = 1 if moment == "done" else 0
        assert (status.total, status.succeeded, status.failed, status.running) == (6, 6 - failed, failed, 0)
        assert status.state is (JobState.PARTIAL if failed else JobState.SUCCEEDED)

    check()


@pytest.mark.parametrize("leased", [False, True])
def test_a_job_with_an_unreadable_record_ends_when_it_is_cancelled(ledger: RedisLedger, leased: bool) -> None:
    """Nobody can say which images are its own; those that no worker holds are cancelled, and no others."""
    client = ledger.scripts.client
    serve(ledger, slots=3)
    submit(ledger, chunks=2)
    hints = ledger.refill(MODEL)
    claims = [claim(ledger, hint, hint.message.task_id) for hint in hints] if leased else []
    client.hset(keys.CHUNKS % "job", "000000", "{broken")
    ledger.cancel("job")
    ledger.reap(MODEL, high_empty=False, bulk_empty=False)
    assert ledger.status("job").running == (6 if leased else 0)  # they are in a worker's hands
    for found in claims:
        with suppress(LostLeaseError):
            ledger.commit(found, [OK] * 3, {})
    client.zrem(keys.LEASES, "job/000000")  # as the reaper does when it has run out
    client.hdel(keys.JOB % "job", "audited_at")  # a minute later
    ledger.reap(MODEL, high_empty=True, bulk_empty=True)

    status = ledger.status("job")
    assert (status.state, status.running, status.cancelled) == (JobState.CANCELLED, 0, 3 if leased else 6)
    assert status.succeeded == (3 if leased else 0)


def test_an_unreadable_record_is_reported_when_its_turn_comes(ledger: RedisLedger) -> None:
    """What else is due goes out in the same call, and nothing comes for it again."""
    serve(ledger, slots=3)
    submit(ledger, "bad", chunks=2)
    submit(ledger, "good", chunks=1)
    ledger.scripts.client.hset(keys.CHUNKS % "bad", "000000", "{broken")

    with capture_logs() as logs:
        sent = [(hint.message.job, hint.message.chunk) for hint in ledger.refill(MODEL)]

    assert sorted(sent) == [("bad", "000001"), ("good", "000000")]
    assert [entry["chunks"] for entry in logs] == [["bad/000000"]]
    assert ledger.refill(MODEL) == []


def test_options_that_cannot_be_read_fail_their_job_in_the_end(ledger: RedisLedger) -> None:
    """Not at once again and for ever: the claim hands itself back, and its pictures fail as `internal`."""
    submit(ledger, chunks=1, size=1)
    ledger.scripts.client.hset(keys.JOB % "job", "options", '{"method":"painting"}')
    for turn in range(RAISED_TO_QUARANTINE + RAISED_IN_QUARANTINE):
        (hint,) = ledger.refill(MODEL)
        with pytest.raises(MessageError, match="options of job job"):
            ledger.claim(hint.message, f"token {turn}", "w")
        come_due(ledger)

    assert ledger.status("job").state is JobState.FAILED
    error: ErrorInfo = ledger.failures("job")[0]
    assert (error.code, "painting" in error.message) == ("internal", True)


#: Keys of the whole fleet, and what may stand in them.
FLEET = [
    *((name, text) for name in ("newest", "reaped", "swept", f"places:{MODEL}") for text in ("x", "nan")),
    (f"claimed:{MODEL}:bulk", "x"),
    ("newest", "inf"),
    (f"serving:{MODEL}", {"worker": 9e9}),
    (f"serving:{MODEL}", {"worker|9|x": 9e9}),
    ("leases", {"no slash": 1}),
    (f"hints:{MODEL}:bulk", {"no slash": 1, "no/such": 1}),
    (f"later:{MODEL}", {"no slash": 1, "no/such": 1}),
    (f"again:{MODEL}", ["no slash", "no/such"]),
    (f"turns:{MODEL}:high", ["no such", "list"]),
    ("webhooks", {"no such": 1, "list": 1}),
    ("cancelling", ["no such", "soon"]),
    ("cancelling", ["list", "0"]),
    ("cancelling", ["job", "1.5"]),
]


@pytest.mark.parametrize(("name", "value"), FLEET)
def test_a_value_of_the_whole_fleet_that_camq_did_not_write_stops_nobody(
    ledger: RedisLedger, name: str, value: str | dict[str, float] | list[str]
) -> None:
    """Jobs are sent, claimed, renewed, committed, cancelled and announced as without it."""
    client = ledger.scripts.client
    client.rpush(keys.JOB % "list", "not a hash")
    client.expire(keys.JOB % "list", keys.DAY)
    if isinstance(value, str):
        client.set(keys.PREFIX + name, value)
    elif isinstance(value, dict):
        client.zadd(keys.PREFIX + name, value)
    elif name == "cancelling":
        client.hset(keys.PREFIX + name, *value)
    else:
        client.rpush(keys.PREFIX + name, *value)
    client.expire(keys.PREFIX + name, keys.DAY)
    serve(ledger, slots=3)
    submit(ledger)
    submit(ledger, "unwanted")
    ledger.cancel("unwanted")
    work_off(ledger, "token")

    assert ledger.claim_webhook(60) is None
    assert ledger.status("job").state is JobState.SUCCEEDED
    assert ledger.status("unwanted").state is JobState.CANCELLED
