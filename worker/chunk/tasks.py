"""The Celery tasks: decode the message, call the pipeline, tell Celery what happened."""

from typing import Any

import msgspec
import structlog
from celery import Celery
from celery.exceptions import Ignore, Reject

from shared.contract import CHUNK_TASK, EXPLAIN_TASK, ChunkMessage, decode
from shared.errors import CamqError, NewerSchemaError, UnknownJobError, UsageError
from worker.chunk.explain_task import Calls
from worker.chunk.pipeline import Outcome, Pipeline

log = structlog.get_logger()


def register(app: Celery, pipeline: Pipeline, calls: Calls) -> None:
    """Gives the app its tasks. What is malformed raises MessageError or UsageError and is recorded as FAILURE."""

    @app.task(name=CHUNK_TASK, bind=True)  # type: ignore[untyped-decorator]
    def chunk(task: Any, raw: str) -> str:
        try:
            message = decode(raw, ChunkMessage)
            with structlog.contextvars.bound_contextvars(job=message.job, chunk=message.chunk, attempt=message.attempt):
                outcome = pipeline.run(message)
                if outcome in (Outcome.DONE, Outcome.HANDED_BACK):  # its last hand-back from quarantine is an end
                    tell(message.job)
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

    def tell(job: str) -> None:
        """Answers the call behind a chunk that came as a hint, because the worker that was called is gone."""
        try:
            found = calls.answer(job)
        except CamqError as reason:
            log.warning("call not answered; it is when its message is delivered again", reason=str(reason))
            return
        if found:
            task_id, record = found
            app.backend.mark_as_done(task_id, msgspec.to_builtins(record))

    @app.task(name=EXPLAIN_TASK, bind=True, throws=(UsageError, UnknownJobError))  # type: ignore[untyped-decorator]
    def explain(task: Any, /, *unnamed: object, **given: object) -> Any:
        if unnamed:
            raise UsageError(f"{EXPLAIN_TASK} takes its arguments by name: kwargs={{'key': 's3://…', 'top_k': 3}}")
        answer = calls.run(task.request.id, given)
        match answer:
            case Outcome.SKIPPED:
                raise Ignore  # another worker has it, and answers
            case Outcome.NOT_TAKEN | Outcome.HANDED_BACK:
                raise Reject("not done here", requeue=True)
        return msgspec.to_builtins(answer)
