"""Redis restored from a copy of its append-only file, beside a bucket that went on: as docs/operations.md advises."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from producer.local.embedded import Supervisor
from producer.local.embedded.redis import RedisServer
from producer.local.embedded.stack import free_ports
from producer.services import Services
from shared.config import Settings
from shared.contract import JobState
from shared.ledger import RedisLedger
from tests.support.jobs.scripted_worker import ScriptedWorker
from tests.support.jobs.submitting import CountingStore, pictures, send
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


@contextmanager
def redis_on(folder: Path) -> Iterator[Settings]:
    """A Redis of our own over this folder; the settings that lead there."""
    server, port = RedisServer(folder, "secret"), next(free_ports())
    server.prepare()
    with Supervisor() as supervisor:
        supervisor.start(server.spec(port, folder))
        wait_until(lambda: server.ready(port), "it is ready", 30)
        yield Settings(redis_url=f"redis://:secret@127.0.0.1:{port}/0", chunk_size=2)


def test_a_redis_restored_from_an_older_copy_finishes_its_jobs_again(tmp_path: Path) -> None:
    """The copy was taken while Redis ran and a chunk was done. What was done after it is done again, into the same
    objects with the same bytes; nothing is lost and nothing counts twice."""
    store, folder, copy = CountingStore(), tmp_path / "redis", tmp_path / "copy"
    with redis_on(folder) as settings, Services(settings, store=store) as services:
        worker = ScriptedWorker(services.ledger, store)
        job = send(services, pictures(6))
        claim = worker.claim_next(job)
        assert claim is not None
        worker.finish(claim)
        services.ledger.scripts.client.bgrewriteaof()
        wait_until(lambda: not services.ledger.scripts.client.info("persistence")["aof_rewrite_in_progress"], "it ends")
        shutil.copytree(folder / "appendonlydir", copy)
        worker.work_off(job)
        assert services.ledger.status(job).state is JobState.SUCCEEDED
    before = {key: store.get(key) for key in set(store.written)}

    shutil.rmtree(folder / "appendonlydir")
    shutil.copytree(copy, folder / "appendonlydir")
    with redis_on(folder) as settings, closing(RedisLedger(settings)) as ledger:
        status = ledger.status(job)
        assert (status.state, status.succeeded, status.queued) == (JobState.RUNNING, 2, 4)
        ScriptedWorker(ledger, store).work_off(job)
        status = ledger.status(job)
        assert (status.state, status.succeeded, status.failed) == (JobState.SUCCEEDED, 6, 0)
    assert {key: store.get(key) for key in set(store.written)} == before
