"""Which engine runs a network: fixed by device, precision and settings, never by timing."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch

from shared.errors import UsageError
from worker.core.engine.cuda import CudaGraphs
from worker.core.engine.engine import Engine
from worker.core.engine.library import Library
from worker.core.engine.proven import ProvenEngine
from worker.core.engine.quantised import Quantised
from worker.core.model.network import Network
from worker.core.types import UInt8Array

Wanted = Literal["auto", "torch", "onnxruntime"]


def engine_for(
    network: Network,
    max_batch_size: int,
    warn: Callable[[str], None],
    wanted: Wanted = "auto",
    examples: Sequence[UInt8Array] = (),
) -> Engine:
    """`warn` is called with the reason why something runs slower than it could. With `examples`, network inputs
    (S, S, 3), the network runs in int8 within the ranges found on them. Raises UsageError when `wanted` cannot be.

    A network without a closed form runs in torch whatever is wanted: its maps need a backward pass.
    """
    on_cpu = network.device.type == "cpu"
    if examples:
        _check_int8(network, wanted)
        return ProvenEngine(network, max_batch_size, Quantised(network, examples), warn)
    if wanted == "onnxruntime" and not (on_cpu and network.dtype == torch.float32):
        raise UsageError(
            f"CAMQ_ENGINE=onnxruntime runs on a CPU in fp32, and this worker's network is on {network.device} in "
            f"{network.dtype}: use CAMQ_ENGINE=auto"
        )
    if wanted == "torch" or network.head is None or (on_cpu and network.dtype != torch.float32):
        return Engine(network, max_batch_size)
    return ProvenEngine(network, max_batch_size, Library(network) if on_cpu else CudaGraphs(network), warn)


def _check_int8(network: Network, wanted: Wanted) -> None:
    if network.device.type != "cpu":
        raise UsageError(
            f"CAMQ_PRECISION=int8 is for a CPU, and this worker's network is on {network.device}: use bf16 there"
        )
    if wanted == "torch":
        raise UsageError("CAMQ_PRECISION=int8 runs in ONNX Runtime: leave CAMQ_ENGINE unset")
    if network.head is None:
        raise UsageError(
            f"CAMQ_PRECISION=int8 is for networks with closed-form maps, and those of {network.name} need a backward"
            " pass, which runs in fp32: leave CAMQ_PRECISION unset"
        )
