"""Networks with seeded random weights, whose batch normalisation is not the identity that it starts as."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from shared.contract import Options
from worker.core.maps.evidence import Evidence, Target
from worker.core.maps.explain import Outcome
from worker.core.model import architectures
from worker.core.model.network import Network, load_network
from worker.core.types import ClassMap, Explanation, UInt8Array

NAME = f"onnxruntime {onnxruntime.__version__}"
CPU = torch.device("cpu")
# Tests run beside each other (pytest-xdist) and beside other work: with more threads than free cores, OpenMP's
# barriers spin, and small networks load thirty times slower.
torch.set_num_threads(1)


def random_module(name: str, classes: int = 1000, seed: int = 0) -> nn.Module:
    """The architecture in training mode, as a user would have it."""
    torch.manual_seed(seed)
    module = architectures.construct(name, num_classes=classes)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.4, 1.6)
            nn.init.uniform_(layer.weight, 0.6, 1.4)
            nn.init.uniform_(layer.bias, -0.2, 0.2)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.uniform_(layer.bias, -0.5, 0.5)  # a bias of zero would hide a forgotten one
    return module


def load(module: nn.Module, name: str, **options: object) -> Network:
    """`module`'s weights through a file, as users bring them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(module.state_dict(), path)
        return load_network(name, weights=path, **{"device": CPU, **options})  # type: ignore[arg-type]


@cache
def network(name: str = "resnet18", classes: int = 1000, seed: int = 0, dtype: torch.dtype = torch.float32) -> Network:
    """A loaded random network, shared by the tests of a process: nothing may change it."""
    return load(random_module(name, classes, seed), name, dtype=dtype)


@contextmanager
def architecture(build: Callable[[int], nn.Module]) -> Iterator[None]:
    """Inside, every name stands for the network that `build` makes for a number of classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "construct", lambda _name, **options: build(options.get("num_classes", 1000)))
        yield


def _tiny_module(classes: int) -> nn.Module:
    features = nn.Sequential(nn.Conv2d(3, 8, 5, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU())
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))


@cache
def tiny(dtype: torch.dtype = torch.float32) -> Network:
    """Ten classes and eight channels, so that Score-CAM takes eight forwards; it goes by the name resnet18."""
    with architecture(_tiny_module):
        return load(random_module("resnet18", 10), "resnet18", dtype=dtype)


def pictures(count: int, size: int = 64, seed: int = 0) -> list[UInt8Array]:
    """Noise with some structure, so that activations differ from place to place."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 256, (count, size, size, 3))
    waves = np.sin(np.linspace(0, 6, size))[None, :, None, None] * generator.integers(20, 90, (count, 1, 1, 3))
    return list(np.clip(noise * 0.6 + waves + 50, 0, 255).astype(np.uint8))


def inputs(count: int, size: int = 64, seed: int = 0) -> Tensor:
    """Normalised noise (N, 3, S, S)."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def evidence(net: Network, x: Tensor, classes: list[int], target: Target = "logit") -> Evidence:
    """What a method sees of `x`, for the same classes on every image."""
    logits, activations = net.forward(x)
    assert net.head is not None
    chosen = torch.tensor(classes).expand(len(x), -1)
    return Evidence(net.head, activations.double(), logits.double(), chosen, target, x, net.classify, 32)


def explained(outcome: object) -> tuple[ClassMap, ...]:
    """The classes of an outcome that must be an explanation."""
    assert isinstance(outcome, Explanation), outcome
    return outcome.classes


def every_method(net: Network, **options: object) -> list[Options]:
    """Options for each method that the network has, Score-CAM left out where it would take hundreds of forwards."""
    names = [name for name in net.methods if name != "scorecam"]
    return [Options(method=name, **options) for name in names]  # type: ignore[arg-type]


class Picky(nn.Module):
    """Runs `inner`, but raises when a picture is all red, or when there are more than `limit` of them (of sides above
    `spared`, in pixels).

    `batches` are the pictures of each forward; several may share one list.
    """

    def __init__(self, inner: nn.Module, error: type[Exception], limit: int | None, batches: list[int]) -> None:
        super().__init__()
        self.inner, self.error, self.limit, self.batches = inner, error, limit, batches
        self.spared = 0

    def forward(self, x: Tensor) -> object:
        self.batches.append(len(x))
        guilty = x[:, 0].amin((1, 2)) > 2
        if self.limit is not None:
            guilty = torch.tensor([len(x) > self.limit and x.shape[3] > self.spared])
        if guilty.any():
            raise self.error("this picture cannot be run")
        return self.inner(x)


def picky(error: type[Exception], limit: int | None = None, net: Network | None = None) -> tuple[Network, Picky]:
    """`net`, by default a ResNet18 of ten classes, inside a `Picky`."""
    net = net or network("resnet18", 10)
    assert net.graph is not None
    graph = Picky(net.graph, error, limit, [])
    hookable = Picky(net.hookable, error, limit, graph.batches)
    # The wrapped layer is found under the name that it has in there.
    return replace(net, graph=graph, hookable=hookable, target_layer=f"inner.{net.target_layer}"), graph


def red(size: int = 64) -> UInt8Array:
    """The picture that `Picky` raises for."""
    picture = np.zeros((size, size, 3), np.uint8)
    picture[..., 0] = 255
    return picture


def numbers(outcome: Outcome) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The classes with their ranks, and every number of an explanation, its maps on one scale."""
    classes = explained(outcome)
    scale = max(np.abs(each.values).max() for each in classes) or 1
    values = [np.append(each.values.ravel() / scale, [each.probability, each.logit]) for each in classes]
    return [(each.rank, each.class_index) for each in classes], np.concatenate(values)


def difference(found: Sequence[Outcome], expected: Sequence[Outcome]) -> float:
    """The largest difference of any map or logit, relative to the largest map value or logit expected.

    Infinite where one of the two is an error. Both name the same classes in the same order.
    """
    errors, scales = [], []
    for ours, theirs in zip(found, expected, strict=True):
        if not (isinstance(ours, Explanation) and isinstance(theirs, Explanation)):
            return float("inf")
        for own, other in zip(ours.classes, theirs.classes, strict=True):
            errors.append([np.abs(own.values - other.values).max(), abs(own.logit - other.logit)])
            scales.append([np.abs(other.values).max(), abs(other.logit)])
    scale = np.max(scales, axis=0)
    return float((np.max(errors, axis=0) / np.where(scale > 0, scale, 1)).max())


def same(found: Sequence[Outcome], expected: Sequence[Outcome], allowed: float = 1e-5) -> None:
    """The same classes and numbers, to rounding."""
    for ours, theirs in zip(found, expected, strict=True):
        places = [[(each.rank, each.class_index) for each in explained(outcome)] for outcome in (ours, theirs)]
        assert places[0] == places[1]
        assert ours.method == theirs.method  # type: ignore[union-attr]
        assert difference([ours], [theirs]) < allowed
