"""Row 9: maps evaluated, counted in the changed pictures that go through the network, against the bare forward."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import Any, cast
from unittest.mock import patch

from bench import network, timing
from bench.context import Bench
from bench.results import Row, Series, Target, ratio
from shared.config import Settings
from shared.contract import ImageRef, Options
from worker.core.engine.choice import engine_for
from worker.core.faithfulness import scores
from worker.core.types import Geometry, UInt8Array
from worker.image.batcher import Batcher
from worker.image.build import images_on_their_way
from worker.image.evaluation import AT_ONCE, Evaluator

NUMBER, NAME, TITLE = 9, "evaluate", "maps evaluated: changed pictures through the network"
#: Of the bare forward's rate.
_AT_LEAST = 0.8
_OPTIONS = Options(top_k=1, evaluate=("cam",))


@dataclass
class _Evaluated:
    """What the evaluator sees of a picture that was decoded."""

    pixels: UInt8Array
    geometry: Geometry = field(default_factory=lambda: Geometry(500, 375, (0.0, 0.0, 500.0, 375.0)))


def run(bench: Bench) -> Row:
    """Changed pictures per second: all that `camq evaluate` measures of a picture, decoding and drawing aside."""
    images = bench.pick(16, 6)
    settings = Settings(model="resnet18", **bench.sized)
    engine = engine_for(bench.network, settings.max_batch_size, bench.say)
    engine.warm_up()
    seen: list[int] = []
    numbers = count()
    with (
        closing(Batcher(engine, settings.max_batch_delay_ms / 1000, _untimed, _ended, seen.append)) as batcher,
        ThreadPoolExecutor(images_on_their_way(settings)) as threads,
    ):
        evaluator = Evaluator(bench.network, batcher)

        def evaluate(pixels: UInt8Array) -> int:
            found = evaluator(ImageRef(index=next(numbers)), _OPTIONS, cast(Any, _Evaluated(pixels)), lambda: None)
            return len(found)

        def once(images: int = images) -> float:
            seen.clear()
            pixels = network.pictures(images)
            seconds = timing.seconds(lambda: sum(threads.map(evaluate, pixels)))
            return sum(seen) / seconds

        def not_filled() -> float:
            with patch.object(scores, "without", lambda picture, _, shares, __: repeat(picture, len(shares))):
                return once()

        once(AT_ONCE)  # warm
        sides = {"bare forward": bench.forward, "evaluate": once, "evaluate, nothing filled in": not_filled}
        samples = timing.interleave(sides, bench.pick(2, 1))
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    for name in ("evaluate", "evaluate, nothing filled in"):
        series[f"{name} / bare forward"] = ratio(samples[name], samples["bare forward"])
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"images": images, "method": "cam", "micro-batch": settings.max_batch_size},
        series=series,
        targets=(Target("evaluate / bare forward", series["evaluate / bare forward"].median, "≥", _AT_LEAST),),
        notes=(f"micro-batches: {engine.mode}", "deletion and insertion in 20 steps each, ROAD in eight pictures"),
    )


@contextmanager
def _untimed(_stage: str) -> Iterator[None]:
    yield


def _ended(error: BaseException) -> None:
    raise RuntimeError("the engine's thread ended") from error
