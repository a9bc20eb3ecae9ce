"""Row 3 continued: the same images without servers, in one process: what is left is decoding, network, drawing."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from bench import timing
from bench.context import Bench
from bench.results import Row, Series, Target, ratio
from shared.config import Settings
from shared.contract import ChunkMessage, ImageRef, Options
from shared.ledger import Claim
from shared.states import ImageState
from shared.storage.memory import MemoryStore
from worker.app import explaining
from worker.explainer import Explainer
from worker.stages import StageClock

NUMBER, NAME, TITLE = 3, "no-storage", "end to end without storage: bytes in memory → overlays in memory"
#: On their way at once, per image of a micro-batch.
_THREADS = 6
_GPU_TARGET = 3000.0


def run(bench: Bench) -> Row:
    """Images per second, and per stage the seconds that an image spends in it (waiting for a core included)."""
    settings = Settings(model="resnet18", weights=str(bench.weights), device=bench.device)
    clock = StageClock()
    with explaining(settings, stage=clock, on_stuck=lambda: None) as real:
        store = MemoryStore()
        store.ensure_bucket()
        explainer = replace(real, store=store)
        jobs = {
            f"k={k}, 224": _InMemory(bench, explainer, clock, bench.pick(600, 96), {"top_k": k, "overlay": "input"})
            for k in (1, 5)
        }
        for job in jobs.values():
            job()  # warm
            job.stages.clear()
        samples = timing.interleave({"forward": bench.forward, **jobs}, bench.pick(3, 1))
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    targets = []
    for name, job in jobs.items():
        series[f"{name} / forward"] = ratio(samples[name], samples["forward"])
        for stage, values in job.stages.items():
            series[f"{name}: {stage}"] = Series("ms", tuple(values))
    if bench.device == "cuda":
        targets.append(Target("images/s without storage, k=1", series["k=1, 224"].median, "≥", _GPU_TARGET))
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"images": jobs["k=1, 224"].images, "micro-batch": settings.max_batch_size},
        series=series,
        targets=tuple(targets),
        notes=("ms of a stage are per image, of `forward` per micro-batch; stages of several images overlap",),
    )


@dataclass
class _InMemory:
    """A side of a comparison: `images` pictures each time it is called."""

    bench: Bench
    explainer: Explainer
    clock: StageClock
    images: int
    options: Mapping[str, Any]
    stages: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self) -> float:
        message = ChunkMessage(job="bench", chunk="0", attempt=1)
        claim = Claim(message, Options(**self.options), self.explainer.network.model, "bulk", "0")
        references = []
        for index, picture in enumerate(self.bench.pictures(self.images)):
            self.explainer.store.put(f"inputs/{index}", picture)
            references.append(ImageRef(index=index, key=f"inputs/{index}"))
        before, started = self.clock.totals(), time.perf_counter()
        with ThreadPoolExecutor(_THREADS * self.explainer.batcher._engine.max_batch_size) as pool:
            records = list(pool.map(lambda ref: self.explainer.record(ref, claim, _go_on), references))
        elapsed = time.perf_counter() - started
        if any(record.state is not ImageState.SUCCEEDED for record in records):
            raise RuntimeError(f"an image failed: {records[0]}")
        for stage, (count, seconds) in self.clock.totals().items():
            if runs := count - before[stage][0]:
                self.stages.setdefault(stage, []).append(1000 * (seconds - before[stage][1]) / runs)
        return self.images / elapsed


def _go_on() -> None:
    """Nothing ends these images."""
