"""What an image costs in Redis and in requests to storage, as `docs/operations.md` reckons with."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from producer.results.download import download
from producer.services import Services
from shared import keys
from shared.config import Settings
from shared.contract import ImageState
from shared.ledger import Claim, RedisLedger
from tests.support.jobs.ledgers import MODEL as NET
from tests.support.jobs.ledgers import claim, submit
from tests.support.jobs.scripted_worker import ScriptedWorker
from tests.support.jobs.submitting import Requests, pictures, send

pytestmark = pytest.mark.servers


def test_a_job_costs_the_requests_that_are_reckoned_with(settings: Settings, tmp_path: Path) -> None:
    """Submitted: a PUT for each new picture and each chunk, a HEAD for the first 32 and for each eighth after them.
    Fetched: a GET for each file and each chunk."""
    store = Requests()
    store.ensure_bucket()
    given = msgspec.structs.replace(settings, io_threads=1, chunk_size=16)
    with Services(given, store=store) as services:
        worker = ScriptedWorker(services.ledger, store)
        job = send(services, pictures(64), options={"top_k": 2})
        assert store.made == Counter(put=64 + 4, head=32 + 4)

        worker.work_off(job)
        again = Counter(store.made)
        send(services, pictures(64), options={"top_k": 2})
        assert store.made - again == Counter(put=4, head=64)

        store.made.clear()
        list(download(services.ledger, store, job, tmp_path))
        assert store.made == Counter(get=2 * 64 + 4)


def test_an_image_takes_few_bytes_of_redis(ledger: RedisLedger) -> None:
    """In chunks of 32: 22 with what is waiting to be sent, 37 at the end, of which Celery's states are a part."""
    size, chunks = 32, 200

    def bytes_per_image() -> float:
        client = ledger.scripts.client
        names = [name for name in client.scan_iter(f"{keys.PREFIX}*") if "job" in name or "turns" in name]
        return sum(client.memory_usage(name, samples=0) for name in names) / (size * chunks)

    submit(ledger, chunks=chunks, size=size)
    submitted = bytes_per_image()
    while hints := ledger.refill(NET):
        for hint in hints:
            held = claim(ledger, hint, hint.message.task_id)
            assert isinstance(held, Claim)
            ledger.commit(held, [ImageState.SUCCEEDED] * size, {})

    assert submitted <= 22
    assert bytes_per_image() <= 22
