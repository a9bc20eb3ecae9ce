"""Row 1: the engine alone against the bare forward, for each engine that this machine can have."""

from collections.abc import Callable

import torch

from bench import network, timing
from bench.context import Bench
from bench.results import Row, Series, Target, ratio
from shared.contract import Options
from worker.core.engine.choice import engine_for
from worker.core.engine.engine import Engine

NUMBER, NAME, TITLE = 1, "engine", "engine alone, k = 5: pictures as bytes in, classes and maps out"
_WANTED = {"cpu": ("torch", "onnxruntime"), "cuda": ("torch", "auto")}
#: Pictures on which int8 finds its ranges.
_EXAMPLES = 32
#: Of the bare forward at the batch that everything is held against.
_BOUNDS = {"cpu": 1.25, "cuda": 0.9}


def run(bench: Bench) -> Row:
    """Images per second at each batch, of torchvision's network and of every engine."""
    batches = network.batches(bench.device)
    engines = [engine_for(bench.network, max(batches), bench.say, wanted) for wanted in _WANTED[bench.device]]
    main = engines[-1]
    if bench.device == "cpu":
        engines.append(engine_for(bench.network, max(batches), bench.say, examples=network.pictures(_EXAMPLES)))
    sides: dict[str, Callable[[], float]] = {}
    for engine in engines:
        engine.warm_up()
    for batch in batches:
        sides[f"bare forward, batch {batch}"] = lambda batch=batch: bench.forward(batch, 1.0)
        for engine in engines:
            sides[f"{engine.name}, batch {batch}"] = lambda engine=engine, batch=batch: engine_rate(engine, batch, 5)
    samples = timing.interleave(sides, bench.pick(4, 2))
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    for batch in batches:
        for engine in engines:
            name = f"{engine.name}, batch {batch}"
            series[f"{name} / bare"] = ratio(samples[name], samples[f"bare forward, batch {batch}"])
    best = max(batches, key=lambda batch: series[f"bare forward, batch {batch}"].median)
    share = series[f"{main.name}, batch {bench.batch} / bare"].median
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"bare is fastest at batch": best, "threads": torch.get_num_threads()},
        series=series,
        targets=(Target(f"engine k=5 / bare forward, batch {bench.batch}", share, "≥", _BOUNDS[bench.device]),),
        notes=tuple(engine.mode for engine in engines),
    )


def engine_rate(engine: Engine, batch: int, k: int, at_least_s: float = 1.0) -> float:
    """Images per second: one sample."""
    pixels, wishes = network.pictures(batch), [Options(top_k=k)] * batch
    running = engine.begin(pixels, wishes)

    def work() -> int:
        nonlocal running
        # As the batcher does: where the engine overlaps, the next micro-batch is staged before this one is read.
        finish, running = running, engine.begin(pixels, wishes)
        return len(finish())

    work()
    return timing.rate(work, at_least_s)
