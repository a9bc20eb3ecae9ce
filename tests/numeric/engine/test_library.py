"""The network in ONNX Runtime: the hooked network's answers, whatever the network and the size of the micro-batch."""

import resource
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from shared.contract import Options
from shared.errors import UsageError
from tests.numeric.families import QUALIFIED
from tests.numeric.networks import (
    CPU,
    NAME,
    every_method,
    load,
    network,
    pictures,
    random_module,
    same,
    tiny,
)
from worker.core.engine import library
from worker.core.engine.choice import engine_for
from worker.core.engine.engine import TORCH, Engine
from worker.core.engine.proven import ProvenEngine
from worker.core.model.network import Network


def warm(net: Network, side: int, largest: int = 4) -> ProvenEngine:
    """Exported and proven without a warning, for pictures of `side` pixels."""
    engine = engine_for(replace(net, spec=replace(net.spec, size=side)), largest, pytest.fail)
    engine.warm_up()
    assert isinstance(engine, ProvenEngine)
    assert (engine.name, engine.proven[-1], engine.overlaps) == (NAME, largest, False)
    return engine


@pytest.mark.parametrize(("name", "_layer", "side", "_cells"), QUALIFIED)
def test_the_library_agrees_with_torch(name: str, _layer: str, side: int, _cells: int) -> None:
    """On every network with closed forms that docs/models.md lists, in micro-batches that were proven and that were
    not, all methods mixed.

    Of the logits: a softmax that is almost 0 or 1, as that of a random network, magnifies rounding, and is computed
    from these by the code that is common to all engines.
    """
    net = network(name, 10)
    engine = warm(net, side)
    plain = Engine(engine.network, 4)
    wishes = [*every_method(net, top_k=3), Options(classes=(7, 2, 5))]
    for count in (1, 2, 4):
        batch, asked = pictures(count, side, seed=count), wishes[-count:]
        found = engine.run(batch, asked)
        same(found, plain.run(batch, asked), 1e-4)
        assert {each.engine for each in found} == {NAME}  # type: ignore[union-attr]


def test_answers_do_not_depend_on_the_company() -> None:
    """A picture alone, in the middle and in a full micro-batch."""
    engine = warm(network("resnet18", 10), 64, 16)
    batch = pictures(16)
    alone, few, full = (engine.run(batch[:count], [Options(top_k=5)] * count)[0] for count in (1, 7, 16))
    same([few, full], [alone, alone])


def test_normalisation_is_in_the_graph() -> None:
    """Bytes go in, (N, S, S, 3) as pictures lie in memory, and what torch makes of them comes out."""
    net = replace(tiny(), spec=replace(tiny().spec, size=64, mean=(0.1, 0.5, 0.9), std=(0.3, 0.2, 0.1)))
    runner = library.Library(net)
    runner.prepare(2)
    batch = pictures(2)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([0.1, 0.5, 0.9], [0.3, 0.2, 0.1]))
    x = (torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2) / 255.0 - mean) / std
    for found, expected in zip(runner.forward(batch), net.hooked(x), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


class Shifting(torch.nn.Module):
    """A user's own code that a trace takes for constant: it counts the pictures."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x * (1 + 0.1 * len(x.tolist())))


class Refusing(Shifting):
    """One that cannot be exported at all."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.special.i0e(x))


@pytest.mark.parametrize(("kind", "why"), [(Shifting, "DifferenceError: of "), (Refusing, "special_i0e")])
def test_a_network_that_the_library_does_not_compute_runs_in_torch_and_says_so(kind: type[Shifting], why: str) -> None:
    """Its own answers, with the reason in the log and in the mode, and the name torch in card and results."""
    net = replace(tiny(), spec=replace(tiny().spec, size=64))
    assert net.graph is not None
    odd = replace(net, hookable=kind(net.hookable), graph=kind(net.graph), target_layer=f"inner.{net.target_layer}")
    warnings: list[str] = []
    engine = engine_for(odd, 4, warnings.append)
    engine.warm_up()
    assert warnings == [f"resnet18 runs on {engine.mode}"]
    assert engine.mode.startswith(f"{TORCH} instead of {NAME}: ")
    assert why in engine.mode
    assert engine.name == TORCH
    same(engine.run(pictures(2), [Options()] * 2), Engine(odd, 4).run(pictures(2), [Options()] * 2))


def test_what_cannot_be_is_refused() -> None:
    """The library on another precision; `auto` takes torch there."""
    low = load(random_module("squeezenet1_1", 10), "squeezenet1_1", dtype=torch.bfloat16)
    with pytest.raises(UsageError, match="CAMQ_ENGINE=onnxruntime runs on a CPU in fp32"):
        engine_for(low, 2, pytest.fail, "onnxruntime")
    assert type(engine_for(low, 2, pytest.fail)) is Engine
    assert low.device == CPU


def test_its_threads_are_torchs_and_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spinning threads would take the cores from decoding."""
    made: list[onnxruntime.SessionOptions] = []
    session = onnxruntime.InferenceSession

    def noted(graph: bytes, options: onnxruntime.SessionOptions, providers: list[str]) -> object:
        made.append(options)
        return session(graph, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", noted)
    library.Library(replace(tiny(), spec=replace(tiny().spec, size=64))).prepare(1)
    [options] = made
    assert options.intra_op_num_threads == torch.get_num_threads()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.slow
def test_a_micro_batch_takes_the_memory_of_the_one_before() -> None:
    """The system hands out memory page by page, 18,000 times for this one, some milliseconds a picture."""
    runner = library.Library(network("resnet18", 10))
    runner.prepare(16)
    batch = pictures(16, 224)
    runner.forward(batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    runner.forward(batch)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 5_000
