"""The worker's way of an image with a dictionary for a store, in one process or in several that share the device."""

import multiprocessing
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

from bench.pictures import fresh
from shared.config import Settings
from shared.contract import ChunkMessage, ImageRef, ImageState, Options
from shared.ledger import Claim
from shared.storage.memory import MemoryStore
from worker.image.build import explaining
from worker.image.explainer import Explainer
from worker.timing.measurements import Measurements

#: On their way at once, per image of a micro-batch.
_THREADS = 6
#: For a process to load its network and answer, and for a job.
_LIMIT_S = 300.0


@dataclass(frozen=True)
class Sample:
    """One job: how long it took, and the milliseconds that each stage took per image (`forward`: per micro-batch)."""

    seconds: float
    stages: Mapping[str, float]


@dataclass(frozen=True)
class InMemory:
    """Everything a picture needs, without servers."""

    explainer: Explainer
    measured: Measurements

    def run(self, images: int, options: Mapping[str, Any], together: Barrier | None = None) -> Sample:
        """Explain new pictures; `together` is waited for once they are at hand."""
        message = ChunkMessage(job="bench", chunk="0", attempt=1)
        claim = Claim(message, Options(**options), self.explainer.network.model, "bulk", "0")
        references = []
        for index, picture in zip(range(images), fresh(), strict=False):
            self.explainer.store.put(f"inputs/{index}", picture)
            references.append(ImageRef(index=index, key=f"inputs/{index}"))
        if together:
            together.wait(_LIMIT_S)
        before, started = self.measured.totals(), time.perf_counter()
        with ThreadPoolExecutor(_THREADS * self.explainer.batcher._engine.max_batch_size) as pool:
            records = list(pool.map(lambda ref: self.explainer.record(ref, claim, _go_on), references))
        elapsed = time.perf_counter() - started
        if any(record.state is not ImageState.SUCCEEDED for record in records):
            raise RuntimeError(f"an image failed: {records[0]}")
        stages = {
            stage: 1000 * (seconds - before[stage][1]) / runs
            for stage, (count, seconds) in self.measured.totals().items()
            if (runs := count - before[stage][0])
        }
        return Sample(elapsed, stages)


@contextmanager
def alone(settings: Settings) -> Iterator[InMemory]:
    """In this process, warm."""
    measured = Measurements()
    with explaining(settings, stage=measured.stage, spent=measured.spent) as real:
        store = MemoryStore()
        store.ensure_bucket()
        yield InMemory(replace(real, store=store), measured)


@contextmanager
def shared(settings: Settings, count: int) -> Iterator["Shared"]:
    """In `count` processes, warm."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(count)
    pipes, processes = [], []
    for _ in range(count):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=_serve, args=(settings, theirs, together), daemon=True))
        processes[-1].start()
        theirs.close()  # so that its end is noticed here
        pipes.append(ours)
    try:
        for pipe in pipes:
            _answer(pipe)
        yield Shared(pipes)
    finally:
        for process in processes:
            process.terminate()
            process.join()


@dataclass(frozen=True)
class Shared:
    """As `InMemory`, each process with its share of the images."""

    pipes: list[Connection]

    def run(self, images: int, options: Mapping[str, Any]) -> Sample:
        """As long as the slowest; the stages' means over all processes."""
        for pipe in self.pipes:
            pipe.send((images // len(self.pipes), dict(options)))
        samples = [_answer(pipe) for pipe in self.pipes]
        stages = {stage: sum(sample.stages[stage] for sample in samples) / len(samples) for stage in samples[0].stages}
        return Sample(max(sample.seconds for sample in samples), stages)


def _serve(settings: Settings, pipe: Connection, together: Barrier) -> None:
    with alone(settings) as side:
        pipe.send(None)
        while True:
            pipe.send(side.run(*pipe.recv(), together))


def _answer(pipe: Connection) -> Any:
    if not pipe.poll(_LIMIT_S):
        raise RuntimeError(f"a process does not answer within {_LIMIT_S:g} s")
    return pipe.recv()  # EOFError if it is gone; its own words are on stderr


def _go_on() -> None:
    """Nothing ends these images."""
