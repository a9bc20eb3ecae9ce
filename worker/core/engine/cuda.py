"""CUDA's part of the engine: pinned staging, a stream for copies, and the network's forward as CUDA graphs."""

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

import numpy as np
import torch
from torch import Tensor

from worker.core.engine.engine import TOLERANCE, TORCH, Normalise
from worker.core.model.network import Network
from worker.core.types import FloatArray, UInt8Array

#: One micro-batch runs, one is staged.
_SLOTS = 2
#: Forwards before a capture: libraries choose their kernels and take their workspaces in the first ones.
_WARM_UPS = 3


def buckets(largest: int) -> list[int]:
    """The sizes that are captured, ascending: 1, 2, 4, … and `largest` itself, so that padding at most doubles."""
    return [1 << power for power in range((largest - 1).bit_length())] + [largest]


class CudaGraphs:
    """See `Runner`. All computing is queued on the current stream, so each step follows the one before.

    The pictures' bytes cross on a stream of their own, into a slot that no graph reads; from there the current
    stream takes them into `_seen`, which all graphs read. Events say when a slot may be filled again, so any
    number of micro-batches may be under way.
    """

    name = f"{TORCH}, CUDA graphs"
    overlaps, required = True, False
    examples: Sequence[UInt8Array] = ()

    def __init__(self, network: Network) -> None:
        self._network = network
        self.tolerance = TOLERANCE[network.dtype]
        self._normalise = Normalise(network)
        self._copies = torch.cuda.Stream(network.device)
        self._aside = torch.cuda.Stream(network.device)
        # The graphs share their memory: they are replayed one after the other, and what one puts out is read
        # before the next one runs.
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, tuple[Tensor, Tensor]]] = {}
        self._seen = torch.empty(0)
        self._slots: Iterator[_Slot] = iter(())

    def sizes(self, largest: int) -> list[int]:
        """See `Runner.sizes`."""
        return buckets(largest)

    def prepare(self, size: int) -> None:
        """See `Runner.prepare`: captures a graph."""
        if len(self._seen) < size:
            self._make_room(size)
        seen = self._seen[:size]
        current = torch.cuda.current_stream(self._network.device)
        self._aside.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        # This block, unlike that of a capture which fails, always returns to the stream before it.
        with torch.cuda.stream(self._aside):
            for _ in range(_WARM_UPS):
                self._compute(seen)
            # Other threads of a worker may ask the driver for its free memory; by default that would be an error.
            with torch.cuda.graph(graph, self._pool, self._aside, capture_error_mode="thread_local"):
                outputs = self._compute(seen)
        current.wait_stream(self._aside)
        self._graphs[size] = graph, outputs

    def release(self) -> None:
        """See `Runner.release`."""
        self._graphs.clear()
        self._seen, self._slots = torch.empty(0), iter(())

    def forward(self, pixels: Sequence[UInt8Array]) -> tuple[Tensor, Tensor]:
        """See `Runner.forward`. What fills the graph up is an earlier picture, whose outputs nobody reads."""
        count = len(pixels)
        graph, outputs = self._graphs[min(size for size in self._graphs if size >= count)]
        slot = next(self._slots)
        slot.fill(pixels, self._copies)
        slot.empty_into(self._seen[:count])
        graph.replay()
        logits, activations = (each[:count] for each in outputs)
        return logits, activations

    def fetch(self, values: Tensor) -> Callable[[], FloatArray]:
        """See `Runner.fetch`."""
        pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        pinned.copy_(values, non_blocking=True)
        arrived = torch.cuda.Event(blocking=True)  # a spinning wait would take a core from the decoders
        arrived.record(torch.cuda.current_stream(values.device))

        def wait() -> FloatArray:
            arrived.synchronize()
            # Maps may live on for as long as they are drawn, and pinned memory is scarce.
            copied: FloatArray = pinned.numpy().copy()
            return copied

        return wait

    def _compute(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        return self._network.forward(self._normalise(seen))

    def _make_room(self, largest: int) -> None:
        spec, device = self._network.spec, self._network.device
        shape = (largest, *spec.sides(), spec.channels)
        self._slots = cycle([_Slot(shape, device) for _ in range(_SLOTS)])
        # Last, since it tells that the slots are there too: a lack of memory on the way is met by a smaller size.
        self._seen = torch.zeros(shape, dtype=torch.uint8, device=device)
        # Freed memory that the slots were given may still be in use by what is queued here.
        self._copies.wait_stream(torch.cuda.current_stream(device))


class _Slot:
    """Where one micro-batch is staged: pinned memory of the host, and as much of the device's."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self._pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._there = torch.empty(shape, dtype=torch.uint8, device=device)
        self._crossed = torch.cuda.Event(blocking=True)
        self._emptied = torch.cuda.Event()

    def fill(self, pixels: Sequence[UInt8Array], copies: torch.cuda.Stream) -> None:
        """Begin to bring uint8 (S, S, 3) each to the device, once the slot's last load has left it."""
        count = len(pixels)
        self._crossed.synchronize()
        np.stack(pixels, out=self._pinned.numpy()[:count])
        copies.wait_event(self._emptied)
        with torch.cuda.stream(copies):
            self._there[:count].copy_(self._pinned[:count], non_blocking=True)
        self._crossed.record(copies)

    def empty_into(self, target: Tensor) -> None:
        """On the current stream, once the load has crossed."""
        current = torch.cuda.current_stream(target.device)
        current.wait_event(self._crossed)
        target.copy_(self._there[: len(target)], non_blocking=True)
        self._emptied.record(current)
