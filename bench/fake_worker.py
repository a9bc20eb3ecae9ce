"""A worker whose engine is not there: everything else is the real one (Celery, ledger, leases, pipeline, reaper).

    python -m bench.fake_worker nothing          every image is answered at once
    python -m bench.fake_worker sleep MS         a micro-batch of n images sleeps n times MS milliseconds

It reads no pictures and writes no overlays, so that what is left is the ledger and the queue.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from bench.fake_worker_model import LATE, MODEL, RAISES
from shared import logs
from shared.config import Settings
from shared.contract import ImageRecord, ImageRef, ImageState, Options, PredictionRecord
from shared.ledger import Claim
from shared.outage import Patience
from shared.storage import S3Store
from worker import app
from worker.core.types import Explanation, InputSpec, UInt8Array
from worker.image.batcher import Batcher
from worker.image.build import exit_fatal

_PREDICTION = PredictionRecord(
    rank=1, class_index=0, label="nothing", probability=1.0, overlay="", box=None, map_min=0.0, map_max=0.0, flat=True
)


@dataclass(frozen=True)
class FakeNetwork:
    """What the worker publishes of its network."""

    name: str = "fake"
    model: str = MODEL
    labels: tuple[str, ...] = ("nothing",)
    spec: InputSpec = field(default_factory=InputSpec)
    methods: tuple[str, ...] = ("cam",)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    module: torch.nn.Module = field(default_factory=torch.nn.Identity)
    target_layer: str = "nothing"
    reason: str = ""
    input_sizes: tuple[int, int] = (224, 224)
    outputs: str = "softmax"


@dataclass
class SleepingEngine:
    """Takes its time, but no core."""

    image_s: float
    max_batch_size: int
    name = "none"
    overlaps = False

    def begin(self, pixels: Sequence[UInt8Array], options: Sequence[Options]) -> Callable[[], list[Explanation]]:
        """An explanation without classes for each."""

        def finish() -> list[Explanation]:
            time.sleep(self.image_s * len(pixels))
            return [Explanation((), wish.method) for wish in options]

        return finish


@dataclass(frozen=True)
class FakeExplainer:
    """Stands where the worker's `Explainer` stands."""

    store: S3Store
    patience: Patience
    batcher: Batcher
    #: Whether images pass the batcher; if not, they are answered at once.
    sleeps: bool
    network: FakeNetwork = FakeNetwork()
    in_place: tuple[str, ...] = ()

    def record(self, ref: ImageRef, claim: Claim, check: Callable[[], None], *_: object) -> ImageRecord:
        """A success, of a size that k = 1 has."""
        check()
        if claim.message.job.startswith(RAISES):
            raise ZeroDivisionError("at once")
        if self.sleeps:
            with self.batcher.coming() as arrived:
                arrived()
                self.batcher.explain(_NO_PIXELS, claim.options, urgent=claim.priority == "high")
        if claim.message.job.startswith(LATE):
            raise ZeroDivisionError("late")
        return ImageRecord(
            index=ref.index,
            source=ref.source,
            state=ImageState.SUCCEEDED,
            width=500,
            height=375,
            model=MODEL,
            method="cam",
            engine="none",
            predictions=(_PREDICTION,),
        )


#: No service goes away in a benchmark.
_OUTAGE_LIMIT_S = 60.0
_NO_PIXELS = np.zeros((1, 1, 3), np.uint8)


def explaining_with(image_s: float | None) -> Callable[..., Any]:
    """What `worker.image.build.explaining` is replaced by."""

    @contextmanager
    def explaining(settings: Settings, *, stage: Any, **_: Any) -> Iterator[FakeExplainer]:
        engine = SleepingEngine(image_s or 0.0, settings.max_batch_size)
        with closing(S3Store.from_settings(settings)) as store:
            batcher = Batcher(engine, settings.max_batch_delay_ms / 1000, stage, exit_fatal)
            with closing(batcher):
                yield FakeExplainer(store, Patience(_OUTAGE_LIMIT_S), batcher, image_s is not None)

    return explaining


def main(arguments: list[str]) -> int:
    """The exit status of the worker."""
    image_s = float(arguments[1]) / 1000 if arguments[0] == "sleep" else None
    settings = Settings.load()
    logs.configure(settings)
    app.explaining = explaining_with(image_s)
    return app.serve(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
