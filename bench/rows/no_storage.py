"""Row 3 continued: the same images without servers: what is left is decoding, network, drawing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import in_memory, timing
from bench.context import Bench
from bench.results import Row, Series, Target, ratio
from shared.config import Settings

NUMBER, NAME, TITLE = 3, "no-storage", "end to end without storage: bytes in memory → overlays in memory"
_GPU_TARGET = 3000.0


def run(bench: Bench) -> Row:
    """Images per second, and per stage the seconds that an image spends in it (waiting for a core included)."""
    settings = Settings(model="resnet18", weights=str(bench.weights), device=bench.device, **bench.sized)
    images = bench.pick(200, 96) * (72 if bench.device == "cuda" else 1)
    several = bench.workers > 1
    with in_memory.shared(settings, bench.workers) if several else in_memory.alone(settings) as side:
        jobs = {f"k={k}, 224": _Job(side, images, {"top_k": k, "overlay": "input"}) for k in (1, 5)}
        for job in jobs.values():
            job()  # warm
            job.stages.clear()
        samples = timing.interleave({"forward": bench.forward, **jobs}, bench.pick(2, 1))
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    targets = []
    for name, job in jobs.items():
        series[f"{name} / forward"] = ratio(samples[name], samples["forward"])
        for stage, values in job.stages.items():
            series[f"{name}: {stage}"] = Series("ms", tuple(values))
    notes = ["ms of a stage are per image, of `forward` per micro-batch; stages of several images overlap"]
    if bench.device == "cuda":
        targets.append(Target("images/s without storage, k=1", series["k=1, 224"].median, "≥", _GPU_TARGET))
        notes.append("pictures are decoded and overlays encoded on the CPU, by Pillow: no other codec is needed")
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"images": images, "micro-batch": settings.max_batch_size, "processes": bench.workers},
        series=series,
        targets=tuple(targets),
        notes=tuple(notes),
    )


@dataclass
class _Job:
    """A side of a comparison: `images` pictures each time it is called."""

    side: in_memory.InMemory | in_memory.Shared
    images: int
    options: Mapping[str, Any]
    stages: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self) -> float:
        sample = self.side.run(self.images, self.options)
        for stage, milliseconds in sample.stages.items():
            self.stages.setdefault(stage, []).append(milliseconds)
        return self.images / sample.seconds
