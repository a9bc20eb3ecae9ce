"""A span for each chunk, and below it one for each stage that its images went through."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from shared.ledger import Claim
from shared.tracing import Span, Tracing
from worker.timing.measurements import stages_of_chunk


class ChunkTraces:
    """Spans per stage and not per image: a chunk of 256 pictures costs a handful, one of a single picture shows as
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
            with stages_of_chunk() as stages:
                try:
                    with structlog.contextvars.bound_contextvars(trace=span.context.split("-")[1]):
                        yield span
                finally:
                    # A copy: an image that was left behind may still end a stage.
                    for name, (first, last, spent, count) in dict(stages.seen).items():
                        span.child(name, first, last, times=count, seconds=spent / 1e9)
