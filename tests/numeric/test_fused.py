"""Fused convolutions against the plain graph: the same answers, and what must stay as it is stays."""

import operator
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tests.numeric.networks import load, network, random_module
from worker.core.engine.engine import Engine
from worker.core.model.fold import folded
from worker.core.model.fused import FusedConvolution, fused
from worker.core.model.structure import UnqualifiedError, find_structure

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_convolution_pointwise"), reason="this torch has no fused convolutions"
)
SIDE = 64


def pictures(count: int, side: int = SIDE, seed: int = 0) -> Tensor:
    noise = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return noise.contiguous(memory_format=torch.channels_last)


@cache
def plain(name: str) -> fx.GraphModule:
    """The network as a graph of separate calls."""
    return find_structure(folded(network(name, 10).module)).graph


@cache
def cached(name: str) -> fx.GraphModule:
    """The same network with its convolutions fused."""
    return fused(plain(name), pictures(1))


def calls(graph: fx.GraphModule) -> list[str]:
    """What is left of a graph, by the kind of module or the name of the function."""
    modules = dict(graph.named_modules())
    return [
        type(modules[str(node.target)]).__name__
        if node.op == "call_module"
        else str(getattr(node.target, "__name__", ""))
        for node in graph.graph.nodes
        if node.op.startswith("call")
    ]


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x1_0"])
@pytest.mark.parametrize(("count", "side"), [(1, SIDE), (3, SIDE), (2, 96)])
def test_the_answers_are_those_of_the_plain_graph(name: str, count: int, side: int) -> None:
    """Logits and activations, for one picture with its packed weights, several, and pictures of another size."""
    found = cached(name)
    inputs = pictures(count, side, 1)
    with torch.inference_mode():
        for ours, theirs in zip(found(inputs), plain(name)(inputs), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6 * float(theirs.abs().max()))


def test_a_resnet_runs_with_its_convolutions_fused() -> None:
    """Twenty calls for its convolutions, and none for additions, normalisations and ReLUs."""
    found = cached("resnet18")
    assert sorted(calls(found)) == sorted(
        ["FusedConvolution"] * 20 + ["MaxPool2d", "AdaptiveAvgPool2d", "flatten", "Linear"]
    )


class _Twisted(nn.Module):
    """Nothing in here may be fused but the last ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = x * 1  # the caller's stays what it was
        raw = self.first(x)
        rectified = F.relu(raw)  # the raw result is read below as well
        scaled = self.second(x)
        x += 1  # in place: the second must have read what was there before
        added = operator.add(scaled, x)
        broadcast = self.third(added) + added.mean((0, 2, 3), keepdim=True)
        return raw, rectified, broadcast, F.relu(self.first(broadcast))


def test_only_what_follows_at_once_and_reads_alone_is_fused() -> None:
    """A result that others read, a change in place between, an addition of another shape: all stay apart."""
    torch.manual_seed(0)
    twisted = fx.symbolic_trace(_Twisted().eval().requires_grad_(requires_grad=False))
    found = fused(twisted, pictures(1))
    assert calls(found).count("relu") == 1
    assert calls(found).count("add") + calls(found).count("iadd") == 3
    with torch.inference_mode():
        for ours, theirs in zip(found(pictures(2)), twisted(pictures(2)), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_a_fused_network_that_answers_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Should a release of torch or a processor compute something else, for one picture or for several."""
    forward = FusedConvolution.forward

    def off_by_a_thousandth(self: FusedConvolution, inputs: Tensor, other: Tensor | None = None) -> Tensor:
        return forward(self, inputs, other) * (1.001 if len(inputs) == count else 1.0)

    monkeypatch.setattr(FusedConvolution, "forward", off_by_a_thousandth)
    with pytest.raises(UnqualifiedError, match="other answers"):
        fused(plain("resnet18"), pictures(1))


def test_without_torchs_calls_a_network_runs_as_it_is_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not part of torch's interface, so a release may not have them."""

    def forward(*_: object) -> Tensor:
        raise AttributeError("no such call")

    monkeypatch.setattr(FusedConvolution, "forward", forward)
    net = load(random_module("resnet18", 10), "resnet18")

    assert net.unfused == "AttributeError: no such call"
    assert Engine(net, 2).mode == "eager, without fused convolutions: AttributeError: no such call"
    for found, hooked in zip(net.forward(pictures(2)), net.hooked(pictures(2)), strict=True):
        assert torch.equal(found, hooked)
