"""What a worker counts and times of its own work, each thing once; metrics, heartbeat and traces read it here."""

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, TypeAlias, get_args

from shared.contract import ErrorInfo, ImageState
from shared.ledger import Claim, Reaped
from worker.timing.throughput import Throughput

#: The stages of one image, in the order of its way; `forward` is per micro-batch, `commit` per chunk. `decode`
#: ends with the network's input, `wait` is for the device, `render` paints, `upload` is all of an image's files.
StageName: TypeAlias = Literal["download", "decode", "wait", "forward", "render", "encode", "upload", "commit"]
STAGES: tuple[StageName, ...] = get_args(StageName)
#: Marks the time spent in a stage: `with stage("decode"): …`.
Stage: TypeAlias = Callable[[StageName], AbstractContextManager[None]]

#: Seconds of a stage, from a JPEG header to a download that waits for an outage to end.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


class Distribution:
    """How often a value was seen, its sum, and how many fell into each bucket. `bounds` are inclusive."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        #: One more than bounds: the last bucket has no end.
        self.buckets = [0] * (len(bounds) + 1)

    @property
    def count(self) -> int:
        """Values seen."""
        return sum(self.buckets)

    def add(self, value: float) -> None:
        """One value."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value


class ChunkStages:
    """Per stage of one chunk: when its first image began and its last one ended (ns of the epoch), the time in all
    (ns), and how often."""

    def __init__(self) -> None:
        self.seen: dict[StageName, tuple[int, int, int, int]] = {}

    def add(self, name: StageName, started: int, spent: int) -> None:
        """One image, or micro-batch, was in the stage for `spent` ns."""
        first, last, total, count = self.seen.get(name, (started, started, 0, 0))
        self.seen[name] = min(first, started), max(last, started + spent), total + spent, count + 1


#: Threads that work on images inherit it with the context that they run in.
_chunk: ContextVar[ChunkStages | None] = ContextVar("stages of the chunk", default=None)


@contextmanager
def stages_of_chunk() -> Iterator[ChunkStages]:
    """Collects the stages that this context goes through, beside the worker's own totals."""
    found = ChunkStages()
    token = _chunk.set(found)
    try:
        yield found
    finally:
        _chunk.reset(token)


class Measurements:
    """Thread-safe; adding to it costs a microsecond or two, so it stays on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages = {name: Distribution(SECONDS) for name in STAGES}
        self._batches: Counter[int] = Counter()
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._throughput = Throughput()
        #: Images finished since the start, whatever their fate.
        self.images_done = 0

    @contextmanager
    def stage(self, name: StageName) -> Iterator[None]:
        """Counts the block's time towards the stage, also when it raises."""
        # The context of the block's beginning: "wait" ends in the engine's thread, which knows no chunk.
        chunk, started = _chunk.get(), time.perf_counter_ns()
        try:
            yield
        finally:
            self._add(name, time.perf_counter_ns() - started, chunk)

    def spent(self, name: StageName, seconds: float) -> None:
        """Seconds in the stage that end now."""
        self._add(name, int(seconds * 1e9), _chunk.get())

    def _add(self, name: StageName, nanoseconds: int, chunk: ChunkStages | None) -> None:
        with self._lock:
            self._stages[name].add(nanoseconds / 1e9)
            if chunk is not None:
                chunk.add(name, time.time_ns() - nanoseconds, nanoseconds)

    def image(self) -> None:
        """One image is finished, whatever its fate."""
        with self._lock:
            self.images_done += 1
            self._throughput.add()

    def batch(self, images: int) -> None:
        """A micro-batch goes through the network."""
        with self._lock:
            self._batches[images] += 1

    def claimed(self, answer: Claim | str) -> None:
        """The ledger's answer to an attempt to claim a chunk: the claim, or the reason of its refusal."""
        if isinstance(answer, str):
            self._count("claims", answer)
            return
        self._count("claims", "claimed")
        if answer.message.attempt > 1:
            self._count("retries")

    def committed(self, states: Sequence[ImageState], failures: Mapping[int, ErrorInfo]) -> None:
        """The ledger took a chunk. Only here images count by outcome, so that none counts twice."""
        self._count("chunks", "committed")
        for state, count in Counter(states).items():
            if state is not ImageState.FAILED:
                self._count("images", state.value, "", count=count)
        for code, count in Counter(error.code for error in failures.values()).items():
            self._count("images", "failed", code, count=count)

    def lost(self) -> None:
        """A chunk was finished by another attempt."""
        self._count("chunks", "lost")

    def handed_back(self) -> None:
        """A chunk went back to the queue."""
        self._count("chunks", "handed_back")

    def reaped(self, found: Reaped) -> None:
        """What one look for lost work found."""
        self._count("lease_expiries", count=found.leases)
        self._count("lost_messages", count=found.hints)
        self._count("quarantined_chunks", count=found.quarantined)

    def webhook(self, outcome: str) -> None:
        """One try to send a webhook."""
        self._count("webhooks", outcome)

    @property
    def images_per_second(self) -> float:
        """The present rate."""
        with self._lock:
            return self._throughput.per_second

    def counts(self) -> dict[tuple[str, ...], int]:
        """Events by what was counted and its labels: `("chunks", "committed")` → 3."""
        with self._lock:
            return dict(self._counts)

    def batch_sizes(self) -> dict[int, int]:
        """Micro-batches by the number of their images, the smallest first."""
        with self._lock:
            return dict(sorted(self._batches.items()))

    def totals(self) -> dict[StageName, tuple[int, float]]:
        """Per stage, how often it ran and for how many seconds in all."""
        with self._lock:
            return {name: (found.count, found.sum) for name, found in self._stages.items()}

    def buckets(self) -> dict[StageName, tuple[list[int], float]]:
        """Per stage, how often its seconds fell into each bucket of `SECONDS` (and above), and their sum."""
        with self._lock:
            return {name: (list(found.buckets), found.sum) for name, found in self._stages.items()}

    def _count(self, *labels: str, count: int = 1) -> None:
        with self._lock:
            self._counts[labels] += count
