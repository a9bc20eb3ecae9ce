"""`CAMQ_PRECISION=int8`: near to what the network says in float32, and the maps exact for what it says."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.contract import Options
from shared.errors import ModelError, UsageError
from tests.numeric.networks import NAME, difference, explained, network, pictures, tiny
from worker.core.engine import quantised
from worker.core.engine.choice import engine_for
from worker.core.engine.engine import TORCH, Engine
from worker.core.engine.proven import ProvenEngine
from worker.core.model.network import Network
from worker.core.types import UInt8Array

SIDE = 64


def small(net: Network) -> Network:
    return replace(net, spec=replace(net.spec, size=SIDE))


def int8(net: Network, examples: Sequence[UInt8Array]) -> ProvenEngine:
    """Warm; it must not warn."""
    engine = engine_for(small(net), 4, pytest.fail, examples=examples)
    engine.warm_up()
    assert isinstance(engine, ProvenEngine)
    return engine


@pytest.mark.slow
def test_answers_are_near_to_those_in_float32_and_not_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """On pictures that it has not seen: logits within 5% of the largest, each signed with what made it."""
    net, seen, unseen = network("resnet18", 10), pictures(16, SIDE, seed=1), pictures(4, SIDE, seed=2)
    engine, wishes = int8(net, seen), [Options(classes=tuple(range(10)))] * 4
    assert engine.name == f"{NAME} int8"
    found, expected = engine.run(unseen, wishes), Engine(small(net), 4).run(unseen, wishes)
    logits, exact = (np.array([[c.logit for c in explained(each)] for each in side]) for side in (found, expected))
    error = np.abs(logits - exact).max() / np.abs(exact).max()
    assert 1e-5 < error < 0.05
    assert {each.engine for each in found} == {engine.name}  # type: ignore[union-attr]
    assert not caplog.records


def test_a_map_and_its_bias_still_add_up_to_the_logit() -> None:
    """What maps are made of, and the head, stay float32: CAM's identity holds for the logits that int8 gives."""
    net = network("resnet18", 10)
    engine = int8(net, pictures(16, SIDE, seed=1))
    assert net.head is not None
    bias = net.head.bias
    assert bias is not None
    for outcome in engine.run(pictures(4, SIDE, seed=2), [Options(top_k=10)] * 4):
        for found in explained(outcome):
            summed = float(found.values.mean()) + float(bias[found.class_index])
            assert summed == pytest.approx(found.logit, abs=1e-4)


@pytest.mark.slow
def test_what_needs_a_backward_pass_runs_in_float32() -> None:
    """In torch, with the answers of a worker that was not asked for int8."""
    net, wish = small(network("resnet18", 10)), Options(method="gradcam", target_layer="layer3")
    engine = int8(net, pictures(8, SIDE))
    (found,), (expected,) = (each.run(pictures(1, SIDE), [wish]) for each in (engine, Engine(net, 4)))
    assert found.engine == TORCH  # type: ignore[union-attr]
    assert difference([found], [expected]) < 1e-5


@pytest.mark.slow
def test_a_graph_of_other_answers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proven on the examples: a network with other weights is not the same one in eight bits.

    The worker does not start: float32 in its place would answer otherwise, without anybody having asked for it.
    """
    other = small(network("resnet18", 10, seed=1))
    monkeypatch.setattr(quantised, "quantised", lambda _graph, _examples: quantised.Library(other).graph())
    engine = engine_for(small(network("resnet18", 10)), 4, pytest.fail, examples=pictures(8, SIDE))
    with pytest.raises(ModelError, match=r"cannot run as .* int8, which was asked for: .* differ from the hooked"):
        engine.warm_up()


def test_what_cannot_run_in_int8_is_refused() -> None:
    """Each with what to do instead."""
    with pytest.raises(UsageError, match="leave CAMQ_ENGINE unset"):
        engine_for(tiny(), 4, pytest.fail, "torch", pictures(8))
    with pytest.raises(UsageError, match="need a backward pass"):
        engine_for(replace(tiny(), head=None), 4, pytest.fail, examples=pictures(8))
    with pytest.raises(UsageError, match="use bf16 there"):
        engine_for(replace(tiny(), device=torch.device("cuda")), 4, pytest.fail, examples=pictures(8))
