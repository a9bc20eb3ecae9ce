"""`camq.explain`: one picture, asked for by another program's Celery message.

The call becomes a job of one image, so that everything the ledger promises holds for it. The job's id follows from
the task's, so that the same message delivered again goes on where the first one stopped, or finds its answer. The
worker that commits the image answers the task, whichever way the chunk came to it.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from shared import keys
from shared.checks.options import check_options
from shared.contract import (
    CALL_PREFIX,
    EXPLAIN_TASK,
    MOST_PAGES,
    ImageRecord,
    ImageRef,
    ImageState,
    JobStatus,
    ModelCard,
    encode_lines,
)
from shared.errors import DeletionError, DeniedError, UnknownJobError, UnreachableError, UsageError
from shared.ledger import RedisLedger
from shared.ledger.chunks import image_at
from shared.ledger.submission import add_chunk
from shared.ledger.worker_side import RECORD_LOST
from shared.outage import Patience, nap
from shared.storage import SCHEME, ObjectStore
from shared.storage.job_objects import MOST_REFERENCE_BYTES, read_references, read_results
from shared.storage.port import locate_object
from worker.chunk.pipeline import Outcome, Pipeline
from worker.errors import HandBackError

log = structlog.get_logger()

CHUNK = "000000"
#: A call that meets a deletion goes back to the queue after so long: not at once, or it would come again as fast.
DELETION_S = 1.0
#: A job's id has at most 64 characters; Celery's own ids (a UUID) have 36.
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,56}")
#: What S3 allows for a key, and a bucket's name before it.
_MOST_KEY_BYTES = 1024 + 70


class Calls:
    """Runs calls, and answers them."""

    def __init__(
        self,
        *,
        ledger: RedisLedger,
        store: ObjectStore,
        pipeline: Pipeline,
        patience: Patience,
        check_taking: Callable[[], None],
        card: ModelCard,
        in_place: tuple[str, ...],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._pipeline = pipeline
        self._patience = patience
        self._check_taking = check_taking
        self._card = card
        self._in_place = in_place

    def run(self, task_id: str, given: Mapping[str, Any]) -> ImageRecord | Outcome:
        """The image's record; SKIPPED when another worker is at it and will answer; NOT_TAKEN or HANDED_BACK when
        the message must go back to the queue. Raises UsageError for a call that cannot be carried out."""
        job = _job_of(task_id)
        with structlog.contextvars.bound_contextvars(job=job, task=task_id):
            try:
                self._check_taking()
                ours = self._patiently(partial(self._begin, job, given))
                if not ours:
                    return self._patiently(partial(self._answer, job)) or self._left_to_others(job)
                outcome = self._pipeline.run_now(job, CHUNK)
                if outcome in (Outcome.NOT_TAKEN, Outcome.HANDED_BACK):
                    return outcome
                return self._patiently(partial(self._answer, job)) or Outcome.SKIPPED
            except (HandBackError, UnreachableError, DeniedError):
                return Outcome.NOT_TAKEN

    def answer(self, job: str) -> tuple[str, ImageRecord] | None:
        """The task that waits for a chunk of this job, and its record; None when no task does.

        Storage or Redis that is away is waited for: nobody else answers before the message is delivered again, which
        takes an hour."""
        if not job.startswith(CALL_PREFIX) or self._patiently(partial(self._ledger.status, job)).name != EXPLAIN_TASK:
            return None
        record = self._patiently(partial(self._answer, job))
        return None if record is None else (job.removeprefix(CALL_PREFIX), record)

    def _patiently(self, call: Callable[[], Any]) -> Any:
        return self._patience(self._check_taking, call)

    def _left_to_others(self, job: str) -> Outcome:
        """The call was begun for another model of the same name. NOT_TAKEN after a moment while a worker serves that
        model; UsageError when none does any more, so that its caller does not wait for ever."""

        def others() -> tuple[str, bool]:
            model = self._ledger.status(job).model
            return model, any(model in info.models for info in self._ledger.workers())

        model, served = self._patiently(others)
        if served:
            nap(self._check_taking, DELETION_S)
            return Outcome.NOT_TAKEN
        self._patiently(partial(self._ledger.cancel, job))
        raise UsageError(
            f"{EXPLAIN_TASK}: this call was begun for {model}, which no worker serves any more; call again"
        )

    def _begin(self, job: str, given: Mapping[str, Any]) -> bool:
        """`_open`; HandBackError after a moment when a deletion is in its way.

        It may last for minutes. Waited out here, a few calls would take every slot from work that it does not touch.
        """
        try:
            return self._open(job, given)
        except DeletionError as reason:
            nap(self._check_taking, DELETION_S)
            raise HandBackError(str(reason)) from None

    def _open(self, job: str, given: Mapping[str, Any]) -> bool:
        """The call in the ledger, once; False when it was begun for another model of the same name."""
        known = self._status(job)
        if known and known.model != self._card.model:
            return False
        rest = dict(given)  # a copy for each try: this one may meet an outage
        key = _checked_key(rest.pop("key", None), self._in_place)
        page = _checked_page(rest.pop("page", None))
        options = check_options(self._card, _checked_classes(rest))
        self._ledger.open_job(job, model=self._card.model, options=options, priority="high", name=EXPLAIN_TASK)
        references = [ImageRef(index=0, key=key, source=key, page=page)]
        if known and known.sealed:
            if self._store.get(keys.chunk_object(job, CHUNK), MOST_REFERENCE_BYTES) != encode_lines(references):
                raise UsageError(f"{EXPLAIN_TASK}: this task id was used for another picture; take a new one")
            return True
        add_chunk(self._ledger, self._store, job, CHUNK, references)
        self._ledger.seal(job)
        return True

    def _status(self, job: str) -> JobStatus | None:
        try:
            return self._ledger.status(job)
        except UnknownJobError:
            return None

    def _answer(self, job: str) -> ImageRecord | None:
        """The image's line as in `camq results`; None while it has no end. UnknownJobError when the job is gone."""
        self._ledger.status(job)
        found = image_at(self._ledger, job, 0)
        state = found.state if found else next(iter(self._ledger.image_states(job)), ImageState.QUEUED)
        if state in (ImageState.QUEUED, ImageState.RUNNING):
            return None
        if found is None:
            return _as_listed(ImageRecord(index=0, source="", state=ImageState.FAILED, error=RECORD_LOST))
        if found.done and not found.done[-1].failed:
            options, newest = self._ledger.options(job), found.done[-1]
            (record,) = read_results(self._store, job, newest.chunk, newest.attempt, options=options, total=1)
            return _as_listed(record)
        (reference,) = read_references(self._store, job, CHUNK, found.digest)
        return _as_listed(ImageRecord(index=0, source=reference.source, state=state, error=found.failure))


def _as_listed(record: ImageRecord) -> ImageRecord:
    """With the fields of the job, which `camq results` adds to every line."""
    return msgspec.structs.replace(record, id=None, name=EXPLAIN_TASK, tags=())


def _job_of(task_id: str) -> str:
    if not _TASK_ID.fullmatch(task_id):
        raise UsageError(f"{EXPLAIN_TASK}: a task id has up to 56 letters, digits, '-' and '_', not {task_id[:80]!r}")
    return f"{CALL_PREFIX}{task_id}"


def _checked_key(key: object, in_place: tuple[str, ...]) -> str:
    """The address of a picture that may be read, or UsageError."""
    what = f"{EXPLAIN_TASK} needs key: the s3://bucket/key address of a picture, or its key inputs/…"
    if not isinstance(key, str):
        raise UsageError(what)
    if len(key.encode(errors="replace")) > _MOST_KEY_BYTES or key != key.encode(errors="replace").decode():
        raise UsageError(f"{what}; this one is too long, or no text")
    if not key.startswith(SCHEME):
        if not keys.is_input(key):
            raise UsageError(f"{what}, not {key!r}")
        return key
    locate_object(key, "")
    if in_place and not key.startswith(in_place):
        raise UsageError(f"{key} is outside what may be read in place (CAMQ_INPUT_PREFIXES of the workers)")
    return key


def _checked_page(given: object) -> int | UnsetType:
    if given is None:
        return UNSET
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MOST_PAGES:
        raise UsageError(f"{EXPLAIN_TASK}: page {str(given)[:80]} is not allowed: give a whole number from 1")
    return given


def _checked_classes(given: dict[str, Any]) -> dict[str, Any]:
    try:
        msgspec.convert(given.get("classes"), str | int | list[str | int] | None)
    except msgspec.ValidationError:
        raise UsageError(f"classes {given['classes']!r} is not allowed: give indices or labels") from None
    return given
