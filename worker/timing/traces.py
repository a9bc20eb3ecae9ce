"""A span for each chunk, and below it one for each stage that its images went through."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

from shared.ledger import Claim
from shared.tracing import Span, Tracing
from worker.timing.stages import Stage


class ChunkTraces:
    """Spans per stage and not per image: a chunk of 256 pictures costs a handful, one of a single picture tells as
    much. The engine's `forward` belongs to many chunks at once; in each of them it is part of `wait`."""

    def __init__(self, tracing: Tracing, worker: str) -> None:
        self._tracing = tracing
        self._worker = worker

    @contextmanager
    def __call__(self, claim: Claim) -> Iterator[Span]:
        """The work on a claimed chunk. Log lines of the block name its trace."""
        message = claim.message
        with self._tracing.span(
            "chunk",
            "consumer",
            parent=claim.trace,
            job=message.job,
            chunk=message.chunk,
            attempt=message.attempt,
            worker=self._worker,
            model=claim.model,
            priority=claim.priority,
            quarantine=claim.quarantine,
            images=len(claim.indices),
        ) as span:
            if not self._tracing.on:
                yield span
                return
            stages = _Stages()
            token = _current.set(stages)
            try:
                with structlog.contextvars.bound_contextvars(trace=span.context.split("-")[1]):
                    yield span
            finally:
                _current.reset(token)
                stages.tell(span)

    def timed(self, stage: Stage) -> Stage:
        """`stage`, with its times noted for the chunk that the calling thread works on; itself when nobody listens."""
        if not self._tracing.on:
            return stage

        @contextmanager
        def noted(name: str) -> Iterator[None]:
            stages, started = _current.get(), time.time_ns()
            try:
                with stage(name):
                    yield
            finally:
                if stages is not None:
                    stages.add(name, started, time.time_ns())

        return noted


class _Stages:
    """Per stage of one chunk: when its first image began and its last one ended, and for how long in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int, int, int]] = {}

    def add(self, name: str, started: int, ended: int) -> None:
        with self._lock:
            first, last, spent, count = self._seen.get(name, (started, ended, 0, 0))
            self._seen[name] = min(first, started), max(last, ended), spent + ended - started, count + 1

    def tell(self, span: Span) -> None:
        with self._lock:
            seen = dict(self._seen)
        for name, (first, last, spent, count) in seen.items():
            span.child(name, first, last, times=count, seconds=spent / 1e9)


#: Threads that work on images inherit it with the context that they run in.
_current: ContextVar[_Stages | None] = ContextVar("stages of the chunk", default=None)
