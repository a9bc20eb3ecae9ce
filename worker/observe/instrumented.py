"""The ledger and the engine with counters around them, so that neither they nor their callers know of metrics."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from shared.contract import ChunkMessage, ErrorInfo, Options
from shared.errors import ImageError, LostLeaseError
from shared.ledger import Claim, Flow, Hint, Reaped, Refusal
from shared.states import ImageState
from worker.core.types import Explanation, UInt8Array
from worker.image.batcher import Runs
from worker.observe.metrics import Metrics
from worker.timing.throughput import Meter


class ObservedFlow:
    """A worker's side of the ledger. What it counts is what the ledger took, so no image counts twice."""

    def __init__(self, flow: Flow, metrics: Metrics) -> None:
        self._flow = flow
        self._metrics = metrics

    def claim(self, message: ChunkMessage, token: str, worker: str) -> Claim | Refusal:
        """See `Flow.claim`."""
        return self._counted(self._flow.claim(message, token, worker))

    def take(self, job: str, chunk: str, token: str, worker: str) -> Claim | Refusal:
        """See `Flow.take`."""
        return self._counted(self._flow.take(job, chunk, token, worker))

    def _counted(self, answer: Claim | Refusal) -> Claim | Refusal:
        self._metrics.claims.labels(answer if isinstance(answer, str) else "claimed").inc()
        if not isinstance(answer, str) and answer.message.attempt > 1:
            self._metrics.retries.inc()
        return answer

    def renew(self, claims: Sequence[Claim]) -> list[Literal["held", "lost", "cancelled"]]:
        """See `Flow.renew`."""
        return self._flow.renew(claims)

    def commit(self, claim: Claim, states: Sequence[ImageState], failures: Mapping[int, ErrorInfo]) -> None:
        """See `Flow.commit`."""
        try:
            self._flow.commit(claim, states, failures)
        except LostLeaseError:
            self._metrics.chunks.labels("lost").inc()
            raise
        self._metrics.chunks.labels("committed").inc()
        for state, count in Counter(states).items():
            if state is not ImageState.FAILED:
                self._metrics.images.labels(state.value, "").inc(count)
        for code, count in Counter(error.code for error in failures.values()).items():
            self._metrics.images.labels("failed", code).inc(count)

    def release(self, claim: Claim, *, spent: bool = False) -> None:
        """See `Flow.release`."""
        self._flow.release(claim, spent=spent)
        self._metrics.chunks.labels("handed_back").inc()

    def refill(self, model: str) -> list[Hint]:
        """See `Flow.refill`."""
        return self._flow.refill(model)

    def reap(self, model: str, *, high_empty: bool, bulk_empty: bool) -> Reaped:
        """See `Flow.reap`."""
        found = self._flow.reap(model, high_empty=high_empty, bulk_empty=bulk_empty)
        self._metrics.expiries.inc(found.leases)
        self._metrics.lost_messages.inc(found.hints)
        self._metrics.quarantined.inc(found.quarantined)
        return found


class ObservedEngine:
    """An engine whose micro-batches are counted."""

    def __init__(self, engine: Runs, metrics: Metrics, meter: Meter) -> None:
        self._engine = engine
        self._metrics = metrics
        self._meter = meter

    @property
    def max_batch_size(self) -> int:
        """The engine's own."""
        return self._engine.max_batch_size

    @max_batch_size.setter
    def max_batch_size(self, size: int) -> None:
        self._engine.max_batch_size = size

    @property
    def overlaps(self) -> bool:
        """The engine's own."""
        return self._engine.overlaps

    def begin(
        self, pixels: Sequence[UInt8Array], options: Sequence[Options]
    ) -> Callable[[], list[Explanation | ImageError]]:
        """See `Runs.begin`."""
        self._metrics.batch.observe(len(pixels))
        self._meter.add_batch(len(pixels))
        return self._engine.begin(pixels, options)
