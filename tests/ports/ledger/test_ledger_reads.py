"""What a look at the ledger costs does not grow with what it does not ask for."""

import pytest

from producer.results.records import record_at
from shared import keys
from shared.contract import ImageRef, ModelCard, Options, WorkerInfo
from shared.ledger import RedisLedger
from shared.ledger.submission import add_chunk
from shared.ledger.worker_side import SWEEP_LIMIT
from shared.storage import MemoryStore
from tests.support.jobs.ledgers import MODEL, serve, submit

pytestmark = pytest.mark.servers


def calls(ledger: RedisLedger) -> dict[str, int]:
    """How often each command was called since the last look; what scripts call counts as well."""
    client = ledger.scripts.client
    found = {name.removeprefix("cmdstat_"): row["calls"] for name, row in client.info("commandstats").items()}
    client.config_resetstat()
    return found


def test_one_image_is_read_without_the_others(ledger: RedisLedger) -> None:
    """Of a job of 300 chunks: neither all states, nor all chunks, nor all failures."""
    store = MemoryStore()
    store.ensure_bucket()
    ledger.open_job("job", model=MODEL, options=Options(), priority="bulk", name=None)
    for number in range(300):
        first = 3 * number
        references = [ImageRef(index=i, key=f"inputs/{i}", source=f"{i}.jpg") for i in range(first, first + 3)]
        add_chunk(ledger, store, "job", f"{number:06d}", references)
    calls(ledger)

    assert record_at(ledger, store, "job", 511).source == "511.jpg"
    made = calls(ledger)
    assert made.get("get", 0) == 0
    assert made["hgetall"] == 1  # the job's own record
    assert made["hget"] < 40


def test_a_chunk_with_a_name_of_its_own_is_found_as_well(ledger: RedisLedger) -> None:
    """Where the usual names end, all of them are read."""
    store = MemoryStore()
    store.ensure_bucket()
    ledger.open_job("job", model=MODEL, options=Options(), priority="bulk", name=None)
    add_chunk(ledger, store, "job", "mine", [ImageRef(index=0, key="inputs/0", source="0.jpg")])

    assert record_at(ledger, store, "job", 0).source == "0.jpg"


def test_a_listing_does_not_walk_jobs_that_expired(ledger: RedisLedger) -> None:
    """Workers take them out of the index, piece by piece; `gc` still knows them until it has deleted what they left."""
    client = ledger.scripts.client
    submit(ledger, "old", chunks=1)
    expired = [f"gone-{n:03d}" for n in range(SWEEP_LIMIT + 50)]
    client.zadd(keys.JOBS, {job: 1e9 + n for n, job in enumerate(expired)})
    for _ in range(3):
        ledger.reap(MODEL, high_empty=True, bulk_empty=True)
    calls(ledger)

    assert [status.job for status in ledger.jobs(10, tags=())] == ["old"]
    assert calls(ledger)["hgetall"] == 1
    assert ledger.known_jobs(expired=True) == [*expired, "old"]
    assert ledger.known_jobs() == ["old"]
    ledger.forget(expired)
    assert ledger.known_jobs(expired=True) == ["old"]


def test_calls_of_one_picture_are_left_out_of_a_listing(ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lie between the jobs, and none of their records is read."""
    monkeypatch.setattr("shared.ledger.producer_side.MOST_IDS", 7)
    for job in ("old", *(f"explain-{number}" for number in range(30)), "new"):
        submit(ledger, job, chunks=1)
    calls(ledger)

    assert [status.job for status in ledger.jobs(2, calls=False)] == ["new", "old"]
    made = calls(ledger)
    assert (made["hgetall"], made["zrevrange"]) == (2, 6)
    assert [status.job for status in ledger.jobs(2, before="new", calls=False)] == ["old"]
    assert [status.job for status in ledger.jobs(2)] == ["new", "explain-29"]


def test_no_job_is_listed_twice_when_others_begin_meanwhile(
    ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They move all others one place on, between two pages."""
    client, jobs = ledger.scripts.client, ("old", "mine", "expired")
    for job in jobs:
        submit(ledger, job, chunks=1)
    client.delete(keys.JOB % "expired")
    page = client.zrevrange

    def meanwhile(*given: object) -> object:
        names = page(*given)
        submit(ledger, "new", chunks=1)
        return names

    monkeypatch.setattr(client, "zrevrange", meanwhile)

    assert [status.job for status in ledger.jobs(2)] == ["mine", "old"]


def test_a_removed_job_is_not_listed_and_comes_back_when_it_is_submitted_again(ledger: RedisLedger) -> None:
    """Its id is in one index at a time."""
    submit(ledger, "job")
    ledger.remove("job")
    assert (ledger.scripts.client.zcard(keys.JOBS), ledger.known_jobs(expired=True)) == (0, ["job"])
    submit(ledger, "job")

    assert ledger.known_jobs(expired=True) == ["job"]
    assert ledger.known_jobs() == ["job"]


def card(model: str) -> ModelCard:
    return ModelCard(model=model, labels=("a",), input_size=8, methods=("cam",), layers=(), target_layer="x")


def test_models_are_dated_by_the_clock_of_redis_and_forgotten_in_the_end(ledger: RedisLedger) -> None:
    """Whatever a worker's clock says; one that is still served stays, with its card, however long ago it came."""
    client = ledger.scripts.client
    for model in ("unused@0", "long@0", MODEL):
        ledger.publish(card(model))
    assert client.zscore(keys.MODELS, MODEL) == pytest.approx(client.time()[0], abs=5)
    long_ago = client.time()[0] - keys.UNFINISHED_TTL_S - 1
    client.zadd(keys.MODELS, {"unused@0": long_ago, "long@0": long_ago})
    client.expire(keys.MODEL % "long@0", 60)
    ledger.beat(WorkerInfo(worker="w", host="h", pid=1, device="cpu", models=("long@0",), state="ready", slots=1))
    ledger.publish(card(MODEL))

    assert ledger.models() == {MODEL: False, "long@0": True}
    assert client.ttl(keys.MODEL % "long@0") > 60


def test_an_unpublished_model_is_not_made_known_by_a_heartbeat(ledger: RedisLedger) -> None:
    """It has no card."""
    serve(ledger)

    assert ledger.models() == {}
