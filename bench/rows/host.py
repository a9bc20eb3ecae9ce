"""Row 3: what the host does for a picture, without a network: decode, draw, encode, in picture processes."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from bench import timing
from bench.context import Bench
from bench.pictures import cuts
from bench.results import Row, Series, Target, ratio
from shared.contract import Options
from worker.core.drawing.colormaps import palette
from worker.core.drawing.render import encode, paint
from worker.core.picture.preprocess import prepare
from worker.core.types import ClassMap, InputSpec, Limits
from worker.pictures import wire
from worker.pictures.pool import Pictures

NUMBER, NAME, TITLE = 3, "host", "decode, draw and encode without a network: picture processes against multiprocessing"
PROCESSES = (1, 2, 4)
#: Pictures on their way for each process, as in a worker whose micro-batches are full.
_ON_THEIR_WAY = 8
#: Of the plain loop's rate.
_AT_LEAST = 0.9
_OPTIONS = Options(top_k=1)
_SPEC, _LIMITS = InputSpec(), Limits()
#: What the engine that does nothing says of every picture.
_MAP = np.add.outer(np.arange(7), np.arange(7)).astype(np.float32)


def run(bench: Bench) -> Row:
    """Images per second at 1, 2 and 4 processes, and the memory of one."""
    images = bench.pick(600, 100)
    sides: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        for count in PROCESSES:
            pool = stack.enter_context(closing(Pictures(wire.Setup(_SPEC, _LIMITS, 60.0), count)))
            threads = stack.enter_context(ThreadPoolExecutor(_ON_THEIR_WAY * count))
            plain = stack.enter_context(multiprocessing.get_context("spawn").Pool(count, _one_thread))
            sides[f"picture processes, {count}"] = partial(_rate, partial(threads.map, partial(_by_pool, pool)), images)
            sides[f"multiprocessing, {count}"] = partial(_rate, partial(plain.imap_unordered, _plainly), images)
        for side in sides.values():
            side()  # every process has loaded what it needs
        samples = timing.interleave(sides, bench.pick(5, 2))
        memory = max(map(_resident_mib, pool.lanes.pids()))
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    shares = {
        count: ratio(samples[f"picture processes, {count}"], samples[f"multiprocessing, {count}"])
        for count in PROCESSES
    }
    series |= {f"picture processes / multiprocessing, {count}": share for count, share in shares.items()}
    series["memory of a picture process"] = Series("MiB", (memory,))
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"images": images, "top_k": 1},
        series=series,
        targets=(
            *(
                Target(f"{count} picture processes / multiprocessing", share.median, "≥", _AT_LEAST)
                for count, share in shares.items()
            ),
            Target("MiB of a picture process", memory, "≤", 150),
        ),
    )


def _rate(work: Callable[..., object], images: int) -> float:
    def once() -> int:
        return sum(map(bool, work(list(islice(cycle(cuts()), images)))))  # type: ignore[call-overload]

    return timing.rate(once, 0.0)


def _by_pool(pool: Pictures, data: bytes) -> int:
    with pool.open(data, _OPTIONS, lambda: None) as picture:
        (drawing,) = picture.draw((ClassMap(1, 0, 0.0, 1.0, _MAP),))
        return len(drawing.overlay)


def _one_thread() -> None:
    """As picture processes have."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _plainly(data: bytes) -> int:
    prepared = prepare(data, _OPTIONS, _SPEC, _LIMITS)
    (painting,) = paint(prepared, [_MAP], palette(_OPTIONS.colormap), _OPTIONS)
    # The parent of a plain loop would want both as well.
    return len(encode(painting, _OPTIONS).overlay) and len(prepared.pixels.tobytes())


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
