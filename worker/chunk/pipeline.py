"""One chunk: claim, explain its images, write the results object, commit, refill the queue."""

import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from enum import StrEnum
from functools import partial

import structlog

from shared import keys
from shared.contract import (
    Answer,
    ChunkMessage,
    ErrorInfo,
    ImageRecord,
    ImageRef,
    ImageState,
    decode_lines,
    encode_lines,
)
from shared.errors import (
    DeniedError,
    LostLeaseError,
    MessageError,
    NotFoundError,
    ObjectTooLargeError,
    UnreachableError,
)
from shared.ledger import Claim, RedisLedger, Refusal
from shared.outage import LOOK_S, Patience
from shared.storage import ObjectStore
from shared.storage.job_objects import MOST_REFERENCE_BYTES
from worker.chunk.leases import Lease, LeaseKeeper
from worker.chunk.quarantine import Quarantine, QuarantineError, RaisedError
from worker.chunk.traces import ChunkTraces
from worker.errors import HandBackError
from worker.image.chunk_maps import ChunkMaps, wanted
from worker.image.explainer import Explainer
from worker.image.lone import Lone, is_lone
from worker.timing.measurements import Measurements

log = structlog.get_logger()


class Outcome(StrEnum):
    """What became of a hint."""

    DONE = "done"
    SKIPPED = "skipped"
    NOT_TAKEN = "not taken"
    HANDED_BACK = "handed back"


class Pipeline:
    """Chunks of several jobs run through it at once; `images` threads (and `urgent_images`) bound what is in memory.

    Each image has a thread of its own for its whole way and blocks where it must wait; so the way reads from
    top to bottom, and a thread's end is an image's end. `high` images have threads of their own, since they
    must not queue behind a bulk chunk.
    """

    def __init__(
        self,
        *,
        ledger: RedisLedger,
        store: ObjectStore,
        explainer: Explainer,
        quarantine: Quarantine,
        keeper: LeaseKeeper,
        patience: Patience,
        measurements: Measurements,
        traces: ChunkTraces,
        refill: Callable[[], None],
        worker: str,
        model: str,
        images: int,
        urgent_images: int,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._explainer = explainer
        self._quarantine = quarantine
        self._keeper = keeper
        self._patience = patience
        self._measurements = measurements
        self._traces = traces
        self._refill = refill
        self._worker = worker
        self._model = model
        self._bulk = ThreadPoolExecutor(images, thread_name_prefix="image")
        self._urgent = ThreadPoolExecutor(min(images, urgent_images), thread_name_prefix="urgent")

    def run(self, message: ChunkMessage) -> Outcome:
        """Works on the chunk if it may be claimed."""
        return self._run(partial(self._ledger.claim, message), message.task_id)

    def run_now(self, job: str, chunk: str) -> Outcome:
        """Works on the chunk without a hint, if it is nobody's yet."""
        return self._run(partial(self._ledger.take, job, chunk), f"{job}.{chunk}")

    def _run(self, take: Callable[[str, str], Claim | Refusal], name: str) -> Outcome:
        """Claims by `take` (a token, this worker) and works.

        What its work raises and nobody foresaw hands the chunk back: after a growing pause it is tried again, and in
        the end its pictures one by one. Raises NewerSchemaError for a chunk of a newer release.
        """
        try:
            claim = self._patience(self._keeper.check_taking, take, secrets.token_hex(8), self._worker)
        except (HandBackError, UnreachableError):
            return Outcome.NOT_TAKEN
        self._measurements.claimed(claim)
        if isinstance(claim, str):
            log.debug("not claimed", task=name, reason=claim)
            return Outcome.SKIPPED
        message = claim.message
        if claim.model != self._model:
            # An id used again for another network, or a message in the wrong queue: its own workers get it.
            return self._hand_back(
                claim, HandBackError(f"it is for {claim.model}, and this worker serves {self._model}")
            )
        try:
            with self._keeper.hold(claim) as lease, self._traces(claim) as span:
                span.set(failed=self._work(claim, lease))
        except LostLeaseError:
            log.warning("lease lost; another attempt owns the chunk", task=message.task_id)
            return Outcome.SKIPPED
        except Exception as reason:  # noqa: BLE001 - whatever it is, it must not come back at once, and for ever
            return self._hand_back(claim, reason)
        self._refill_if_possible()
        return Outcome.DONE

    def close(self) -> None:
        """Lets the image threads end by themselves: one that waits for a silent service is not waited for."""
        self._bulk.shutdown(wait=False, cancel_futures=True)
        self._urgent.shutdown(wait=False, cancel_futures=True)

    def _work(self, claim: Claim, lease: Lease) -> int:
        """How many of its images failed."""
        message = claim.message
        maps = None
        put = partial(self._put, lease)
        lone = Lone(self._urgent, put) if is_lone(claim) else None
        try:
            references = self._references(claim, lease)
            maps = ChunkMaps() if wanted(references, claim.options) else None
            records = self._explain_all(references, claim, lease, maps, lone)
        except (NotFoundError, ObjectTooLargeError, MessageError) as reason:
            records = [_without_reference(index, claim, reason) for index in claim.indices]
        failures = {r.index: r.error for r in records if r.state is ImageState.FAILED and r.error}
        key = keys.results_object(message.job, message.chunk, message.attempt)
        with self._measurements.stage("commit"):
            if maps and (archive := maps.archive()):
                beside = keys.chunk_maps_object(message.job, message.chunk, message.attempt)
                put(beside, archive)
            lines = encode_lines(records)
            put(key, lines, "application/jsonl")
            if lone:
                lone.written()
            answer = lone.answer(claim, lines) if lone else None
            self._patience(lease.check_held, self._commit, claim, [r.state for r in records], failures, answer)
        log.info("chunk committed", task=message.task_id, images=len(records), failed=len(failures))
        return len(failures)

    def _put(self, lease: Lease, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self._patience(lease.check_held, self._store.put, key, data, content_type=content_type)

    def _commit(
        self, claim: Claim, states: list[ImageState], failures: dict[int, ErrorInfo], answer: Answer | None
    ) -> None:
        try:
            self._ledger.commit(claim, states, failures, answer)
        except LostLeaseError:
            self._measurements.lost()
            raise
        self._measurements.committed(states, failures)

    def _references(self, claim: Claim, lease: Lease) -> list[ImageRef]:
        """The references of the chunk's images, in the order of `claim.indices`."""
        key = keys.chunk_object(claim.message.job, claim.references)
        references = _carried(claim)
        if references is None:
            raw = self._patience(lease.check_held, self._store.get, key, max_bytes=MOST_REFERENCE_BYTES)
            if claim.digest and hashlib.sha256(raw).hexdigest() != claim.digest:
                raise MessageError(f"{key} is not what was registered")
            references = decode_lines(raw, ImageRef)
        found = {ref.index: ref for ref in references}
        if missing := [index for index in claim.indices if index not in found]:
            raise MessageError(f"{key} has no line for image {missing[0]}")
        return [found[index] for index in claim.indices]

    def _explain_all(
        self, refs: list[ImageRef], claim: Claim, lease: Lease, maps: ChunkMaps | None, lone: Lone | None
    ) -> list[ImageRecord]:
        pool = self._urgent if claim.priority == "high" else self._bulk
        futures = [pool.submit(copy_context().run, self._explain, ref, claim, lease, maps, lone) for ref in refs]
        try:
            _await(futures, lease.check_held)
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _explain(
        self, ref: ImageRef, claim: Claim, lease: Lease, maps: ChunkMaps | None, lone: Lone | None
    ) -> ImageRecord:
        if claim.quarantine:  # its maps stay in that process
            record = self._quarantine.record(ref, claim, lease)
        else:
            record = self._explainer.record(ref, claim, lease.check, maps, lone)
        self._measurements.image()
        return record

    def _hand_back(self, claim: Claim, reason: Exception) -> Outcome:
        message = claim.message
        foreseen = isinstance(reason, (HandBackError, UnreachableError, DeniedError))
        raised = "" if foreseen else str(reason if isinstance(reason, RaisedError) else RaisedError.of(reason))
        # The trace once: each attempt has the same one.
        trace = reason if raised and message.attempt == 1 else None
        log.warning("chunk handed back", task=message.task_id, reason=raised or str(reason), exc_info=trace)
        try:
            self._ledger.release(claim, spent=isinstance(reason, QuarantineError), raised=raised)
            self._measurements.handed_back()
        except (LostLeaseError, UnreachableError):
            log.warning("hand-back not taken; the lease will run out", task=message.task_id)
        self._refill_if_possible()
        return Outcome.HANDED_BACK

    def _refill_if_possible(self) -> None:
        try:
            self._refill()
        except UnreachableError as reason:
            log.debug("queue not refilled; the reaper will", reason=str(reason))


def _carried(claim: Claim) -> list[ImageRef] | None:
    """The references that the ledger carries; None where those in the store count.

    Only of uploaded pictures: whoever can write to Redis, but not to the bucket, must not name other objects to us.
    """
    if not claim.carried or hashlib.sha256(claim.carried).hexdigest() != claim.digest:
        return None
    references = decode_lines(claim.carried, ImageRef)
    return references if all(keys.is_input(ref.key) or ref.error for ref in references) else None


def _await(futures: list[Future[ImageRecord]], check: Callable[[], None]) -> None:
    """Returns once all are done; raises what the first to fail or `check` raises, without waiting for the rest.

    An image that is left behind stops at its next look at the lease. Until then it may still write overlays,
    the same bytes as those of the attempt that follows.
    """
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, LOOK_S, FIRST_EXCEPTION)
        for future in done:
            future.result()
        check()


def _without_reference(index: int, claim: Claim, reason: Exception) -> ImageRecord:
    error = ErrorInfo("not_found", f"the list of this chunk's pictures is gone or damaged: {reason}")
    return ImageRecord(index=index, source="", state=ImageState.FAILED, model=claim.model, error=error)
