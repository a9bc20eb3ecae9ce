"""A declared test adapter of a runner, on a host that plays a device with graphs; and engines with it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tests.numeric.networks import tiny
from worker.core.engine.cuda import buckets
from worker.core.engine.engine import TOLERANCE, Normalise
from worker.core.engine.proven import ProvenEngine
from worker.core.model.network import Network
from worker.core.types import FloatArray, UInt8Array

SIDE = 64


class HostRunner:
    """A declared test adapter: what a device would queue happens at once, in memory that is used again each time."""

    name, overlaps, required = "host", True, False
    tolerance, examples = TOLERANCE[torch.float32], ()

    def __init__(self, net: Network) -> None:
        self.net, self.normalise = net, Normalise(net)
        self.seen = torch.zeros(0)
        self.outputs: dict[int, tuple[Tensor, ...]] = {}
        self.calls: list[int] = []
        #: Tests put their faults here; each is called with the size or the count.
        self.on_capture: Callable[[int], None] = lambda _: None
        self.on_forward: Callable[[int], None] = lambda _: None
        self.on_fetch: Callable[[Tensor], Tensor] = lambda values: values

    def sizes(self, largest: int) -> list[int]:
        return buckets(largest)

    def prepare(self, size: int) -> None:
        self.on_capture(size)
        if len(self.seen) < size:
            self.seen = torch.zeros(size, SIDE, SIDE, 3, dtype=torch.uint8)
        self.outputs[size] = self.compute(size)

    def compute(self, size: int) -> tuple[Tensor, ...]:
        return tuple(each.clone() for each in self.net.forward(self.normalise(self.seen[:size])))

    def forward(self, pixels: Sequence[UInt8Array]) -> tuple[Tensor, Tensor]:
        count = len(pixels)
        self.calls.append(count)
        self.on_forward(count)
        size = min(size for size in self.outputs if size >= count)
        self.seen[:count] = torch.from_numpy(np.stack(pixels))
        for static, new in zip(self.outputs[size], self.compute(size), strict=True):
            static.copy_(new)
        logits, activations = (each[:count] for each in self.outputs[size])
        return logits, activations

    def fetch(self, values: Tensor) -> Callable[[], FloatArray]:
        sent = values.clone()
        return lambda: self.on_fetch(sent).numpy()

    def release(self) -> None:
        self.outputs.clear()


def small(net: Network) -> Network:
    """The same, with pictures of `SIDE` pixels as its own size."""
    return replace(net, spec=replace(net.spec, size=SIDE))


def engine(net: Network | None = None, largest: int = 8) -> tuple[ProvenEngine, HostRunner, list[str]]:
    """Not warm yet, with what it warned of."""
    net = small(net or tiny())
    graphs, warnings = HostRunner(net), []
    return ProvenEngine(net, largest, graphs, warnings.append), graphs, warnings


def warm(net: Network | None = None, largest: int = 8) -> tuple[ProvenEngine, HostRunner, list[str]]:
    made, graphs, warnings = engine(net, largest)
    made.warm_up()
    assert made.proven == buckets(largest)
    assert warnings == []
    graphs.calls.clear()
    return made, graphs, warnings
