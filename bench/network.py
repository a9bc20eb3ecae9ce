"""The network of the benchmark: resnet18 from a state dict of random numbers, which cost what trained ones cost."""

from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from bench.pictures import cuts
from shared.contract import Options
from worker.core.picture.preprocess import prepare
from worker.core.types import InputSpec, Limits, UInt8Array


def batches(device: str) -> tuple[int, ...]:
    """What the engine is timed at; the last is what everything else is held against."""
    return (1, 4, 16) if device == "cpu" else (1, 16, 64, 256)


def pictures(batch: int) -> list[UInt8Array]:
    """Photographs as the engine takes them, uint8 (224, 224, 3) each."""
    return [prepare(cuts()[n % len(cuts())], Options(), InputSpec(), Limits()).pixels for n in range(batch)]


def write_weights(path: Path) -> Path:
    """A state dict whose batch normalisation is not the identity that it starts as."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    torch.save(network.state_dict(), path)
    return path


def published(weights: Path, device: str) -> nn.Module:
    """torchvision's own network, channels_last: what everything is measured against. With gradients, for grad-cam."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 is what is promised
    network: nn.Module = torchvision.models.resnet18()
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval().to(device).to(memory_format=torch.channels_last)


def noise(batch: int, device: str) -> Tensor:
    """Normalised pictures (batch, 3, 224, 224), channels_last."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, 224, 224, generator=generator).to(device).to(memory_format=torch.channels_last)


def runner(network: nn.Module, inputs: Tensor) -> Callable[[], object]:
    """One forward per call, as fast as the device can repeat it, and finished when the call returns.

    On CUDA captured as a graph, which is then replayed without Python; in float32 without TF32, as camq runs.
    """
    if inputs.device.type == "cpu":
        return lambda: network(inputs)
    for _ in range(3):  # cuDNN chooses its algorithms
        network(inputs)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(inputs)

    def replay() -> None:
        graph.replay()
        torch.cuda.synchronize()

    return replay
