"""What has to work on every Redis and broker."""

from contextlib import closing

from celery.contrib.testing.worker import start_worker

from shared.broker import Sender, make_app, model_queues
from shared.config import Settings
from shared.contract import CHUNK_TASK, ChunkMessage, ImageState, decode
from shared.ledger import Claim, RedisLedger
from tests.support.jobs import ledgers
from tests.support.jobs.ledgers import MODEL
from tests.support.waiting import wait_until


def work_off(settings: Settings, job: str) -> None:
    """The job's chunks go through ledger, broker, a Celery worker and its task states."""
    with (
        closing(RedisLedger(settings)) as ledger,
        closing(Sender(settings)) as sender,
        closing(make_app(settings)) as app,
    ):
        app.conf.task_queues = model_queues(MODEL)

        @app.task(name=CHUNK_TASK, shared=False)  # type: ignore[untyped-decorator]
        def chunk(raw: str) -> str:
            message = decode(raw, ChunkMessage)
            claim = ledger.claim(message, message.task_id, "w")
            assert isinstance(claim, Claim)
            ledger.commit(claim, [ImageState.SUCCEEDED] * 3, {})
            return "done"

        hints = ledger.refill(MODEL)
        sender.send(hints)
        wait_until(lambda: sender.depth(MODEL, "bulk") == 2, "both messages wait in the broker")
        with start_worker(app, pool="threads", perform_ping_check=False, shutdown_timeout=20):
            for hint in hints:
                assert app.AsyncResult(hint.message.task_id).get(timeout=20) == "done"
        assert ledger.status(job).succeeded == 6
        assert sender.depth(MODEL, "bulk") == sender.depth(MODEL, "high") == 0


def works(settings: Settings) -> None:
    """A job can be submitted and is done."""
    with closing(RedisLedger(settings)) as ledger:
        ledger.check()
        ledgers.submit(ledger)
    work_off(settings, "job")
