"""Row 2: the engine against the two libraries, in one process on the same threads."""

from importlib.util import find_spec

import numpy as np

from bench import network, timing
from bench.context import Bench
from bench.results import Row, Series, ratio
from shared.contract import Options
from worker.core.engine.choice import engine_for
from worker.core.types import Explanation

NUMBER, NAME, TITLE = 2, "core", "engine: uint8 pictures in, top-k and normalised maps out"
_NOTE = "the engine's time includes normalising the pictures; the libraries are given normalised tensors"


def run(bench: Bench) -> Row:
    """Images per second for k = 1 and 5."""
    batch = bench.batch
    engine = engine_for(bench.network, batch, bench.say)
    engine.warm_up()
    pixels = network.pictures(batch)

    def engine_rate(k: int) -> float:
        wishes = [Options(top_k=k)] * batch

        running = engine.begin(pixels, wishes)

        def work() -> int:
            nonlocal running
            # As the batcher does: where the engine overlaps, the next micro-batch is staged before this one is read.
            finish, running = running, engine.begin(pixels, wishes)
            return sum(bool(normalised(outcome)) for outcome in finish())

        work()
        return timing.rate(work, 2.0)

    sides = {"forward": bench.forward}
    notes = [_NOTE, f"micro-batches: {engine.mode}"]
    compared = find_spec("torchcam") is not None and find_spec("pytorch_grad_cam") is not None
    if not compared:
        notes.append("torchcam and grad-cam are not installed here, so nothing is compared with them")
    for k in (1, 5):
        sides[f"engine k={k}"] = lambda k=k: engine_rate(k)
        if compared:
            from bench import peers

            sides[f"torchcam k={k}"] = peers.torchcam(bench.published, pixels, k)
            sides[f"grad-cam k={k}"] = peers.grad_cam(bench.published, pixels, k)
    samples = timing.interleave(sides, 2)
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    for k in (1, 5):
        for other in ("forward", *([f"torchcam k={k}", f"grad-cam k={k}"] if compared else [])):
            series[f"engine k={k} / {other}"] = ratio(samples[f"engine k={k}"], samples[other])
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"batch": batch},
        series=series,
        notes=tuple(notes),
    )


def normalised(outcome: object) -> list[np.ndarray]:
    """The maps of one image from 0 to 1, as the drawing takes them."""
    if not isinstance(outcome, Explanation):
        raise TypeError(f"the engine failed: {outcome}")
    maps = []
    for found in outcome.classes:
        low, high = found.values.min(), found.values.max()
        maps.append((found.values - low) / (high - low))
    return maps
