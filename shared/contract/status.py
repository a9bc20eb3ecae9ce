"""What is shown of jobs and workers."""

from typing import Literal

import msgspec

from shared.contract.states import JobState


class StageTime(msgspec.Struct, frozen=True):
    """How often a worker ran one stage of its work since it started, and for how many seconds in all."""

    count: int
    seconds: float


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `camq workers`."""

    worker: str
    host: str
    pid: int
    device: str
    models: tuple[str, ...]
    state: Literal["starting", "ready", "busy", "draining"]
    images_per_second: float = 0.0
    images_done: int = 0
    #: Chunks it works on at once; the queue's high-water mark is a multiple of it.
    slots: int = 1
    #: Where the time goes, in the order of an image's way. Stages of several images overlap.
    stages: dict[str, StageTime] = {}
    #: How many micro-batches of each size went through the network.
    batch_sizes: dict[int, int] = {}
    waiting_for: str | None = None  # why its work waits: a service is away, or refuses it


class WebhookStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the newest end's webhook. `url` has no query and no credentials; `reason` is the last fault."""

    url: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    reason: str | None


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `camq status`. Times are ISO 8601 in UTC.

    `images_per_second` is that of the last minutes (0 until something is known), or of the whole run once it has
    finished; a `retry` begins another run. `eta_s` is None while nothing is known or more images may come.
    """

    job: str
    name: str | None
    state: JobState
    sealed: bool
    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    created_at: str
    finished_at: str | None
    images_per_second: float
    eta_s: float | None
    model: str
    submission_interrupted: bool
    webhook: WebhookStatus | None = None
    tags: tuple[str, ...] = ()
    #: When the newest run took up its first images: with `finished_at`, how long it took.
    started_at: str | None = None
    #: What the submission did not take for pictures, by kind.
    left_out: dict[str, int] = {}

    @property
    def done(self) -> int:
        """Images that have their final state."""
        return self.succeeded + self.failed + self.cancelled
