"""Which engine runs a network: fixed by device, precision and settings, never by timing."""

from collections.abc import Callable
from typing import Literal

import torch

from shared.errors import UsageError
from worker.core.engine.cuda import CudaGraphs
from worker.core.engine.engine import Engine
from worker.core.engine.library import Library
from worker.core.engine.proven import ProvenEngine
from worker.core.model.network import Network

Wanted = Literal["auto", "torch", "onnxruntime"]


def engine_for(network: Network, max_batch_size: int, warn: Callable[[str], None], wanted: Wanted = "auto") -> Engine:
    """`warn` is told why something runs slower than it could. Raises UsageError when `wanted` cannot be.

    A network without a closed form runs in torch whatever is wanted: its maps need a backward pass.
    """
    on_cpu = network.device.type == "cpu"
    if wanted == "onnxruntime" and not (on_cpu and network.dtype == torch.float32):
        raise UsageError(
            f"CAMQ_ENGINE=onnxruntime runs on a CPU in fp32, and this worker's network is on {network.device} in "
            f"{network.dtype}: use CAMQ_ENGINE=auto"
        )
    if wanted == "torch" or network.head is None or (on_cpu and network.dtype != torch.float32):
        return Engine(network, max_batch_size)
    return ProvenEngine(network, max_batch_size, Library(network) if on_cpu else CudaGraphs(network), warn)
