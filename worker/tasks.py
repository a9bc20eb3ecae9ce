"""The Celery task: decode the message, call the pipeline, tell Celery what happened."""

from typing import Any

import structlog
from celery import Celery
from celery.exceptions import Ignore, Reject

from shared.contract import CHUNK_TASK, ChunkMessage, decode
from shared.errors import NewerSchemaError
from worker.pipeline import Outcome, Pipeline

log = structlog.get_logger()


def register(app: Celery, pipeline: Pipeline) -> None:
    """Gives the app its one task. A malformed message raises MessageError and is recorded as FAILURE."""

    @app.task(name=CHUNK_TASK, bind=True)  # type: ignore[untyped-decorator]
    def chunk(task: Any, raw: str) -> str:
        try:
            message = decode(raw, ChunkMessage)
            with structlog.contextvars.bound_contextvars(job=message.job, chunk=message.chunk, attempt=message.attempt):
                outcome = pipeline.run(message)
        except NewerSchemaError as reason:
            # Not ours to judge. The ledger sends the hint again, and a newer worker may get it then.
            log.warning("left for a newer worker", reason=str(reason))
            raise Ignore from None
        match outcome:
            case Outcome.DONE:
                return outcome.value
            case Outcome.NOT_TAKEN:
                raise Reject("the worker is stopping", requeue=True)
            case Outcome.HANDED_BACK:
                task.update_state(state="RETRY", meta={"reason": "handed back; runs again as another attempt"})
        raise Ignore
