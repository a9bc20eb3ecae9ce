"""The engine on a CUDA device: what `tests/numeric/engine/test_proven.py` cannot show on a host."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.contract import Options
from tests.numeric.networks import difference, every_method, explained, load, network, pictures, random_module
from worker.core.engine.choice import engine_for
from worker.core.engine.cuda import buckets
from worker.core.engine.engine import TOLERANCE, TORCH, Engine
from worker.core.engine.proven import ProvenEngine
from worker.core.model.network import Network

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SIDE = 64
NETWORKS = ["resnet18", "resnet50", "mobilenet_v2", "densenet121", "efficientnet_b0", "squeezenet1_1"]


@pytest.fixture(autouse=True)
def float32_is_float32() -> Iterator[None]:
    """As a worker sets it."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.cuda.empty_cache()


def on_cuda(name: str = "resnet18", dtype: torch.dtype = torch.float32) -> Network:
    net = load(random_module(name, 10), name, device=torch.device("cuda", 0), dtype=dtype)
    return replace(net, spec=replace(net.spec, size=SIDE))


def warm(net: Network, largest: int = 16) -> ProvenEngine:
    """Captured and checked without a warning."""
    warnings: list[str] = []
    engine = engine_for(net, largest, warnings.append)
    engine.warm_up()
    assert isinstance(engine, ProvenEngine)
    assert warnings == []
    assert engine.proven == buckets(largest)
    return engine


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_size_is_captured_and_agrees_with_the_hooked_forward(name: str, dtype: torch.dtype):
    """Which is what warming up checks on the device itself."""
    warm(on_cuda(name, dtype))


def test_replayed_answers_are_those_of_an_eager_run_and_of_a_cpu():
    """All methods and both targets mixed, in micro-batches that fill their size and that do not."""
    net = on_cuda()
    host = replace(network("resnet18", 10), spec=net.spec)
    engine = warm(net)
    wishes = [*every_method(net, top_k=3), *every_method(net, top_k=2, target="softmax"), Options(classes=(7, 2))]
    for count in (1, 3, 11, 16):
        batch, asked = pictures(count, SIDE, seed=count), (wishes * 2)[:count]
        found = engine.run(batch, asked)
        for other, allowed in ((Engine(net, 16), 1e-5), (Engine(host, 16), 1e-3)):
            for ours, theirs in zip(found, other.run(batch, asked), strict=True):
                assert [c.class_index for c in explained(ours)] == [c.class_index for c in explained(theirs)]
                assert difference([ours], [theirs]) < allowed


def test_many_micro_batches_under_way_keep_their_own_answers():
    """Ten begun before the first is read, of sizes that change, so that every slot and graph is used again."""
    engine, random = warm(on_cuda()), np.random.default_rng(0)
    batches = [pictures(int(random.integers(1, 17)), SIDE, seed) for seed in range(40)]
    for start in range(0, 40, 10):
        finish = [engine.begin(batch, [Options()] * len(batch)) for batch in batches[start : start + 10]]
        for batch, wait in zip(batches[start : start + 10], finish, strict=True):
            expected = Engine(engine.network, 16).run(batch, [Options()] * len(batch))
            assert difference(wait(), expected) < 1e-5


def test_beginning_does_not_wait_for_the_device():
    """While the device is kept busy, a micro-batch is begun and the device is busy still."""
    engine = warm(on_cuda())
    batch = pictures(16, SIDE)
    engine.run(batch, [Options(top_k=5)] * 16)  # pinned memory of this size is at hand from now on
    busy = torch.cuda.Event()
    torch.cuda._sleep(2_000_000_000)  # about a second
    busy.record()
    wait = engine.begin(batch, [Options(top_k=5)] * 16)
    assert not busy.query()
    assert difference(wait(), engine.run(batch, [Options(top_k=5)] * 16)) < 1e-5


def test_running_out_of_memory_on_the_way_is_met_by_an_eager_run(monkeypatch: pytest.MonkeyPatch):
    """The pictures have their answers, and the reason is told."""
    warnings: list[str] = []
    engine = engine_for(on_cuda(), 4, warnings.append)
    engine.warm_up()
    assert isinstance(engine, ProvenEngine)

    def full(_: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine.runner, "forward", full)
    for outcome in engine.run(pictures(4, SIDE), [Options()] * 4):
        explained(outcome)
    assert len(warnings) == 1


def test_a_failed_capture_leaves_a_device_that_works():
    """A forward that waits for the device cannot be captured; the network runs eagerly, and says why."""
    net = on_cuda()

    class Waiting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net.graph

        def forward(self, x: torch.Tensor) -> object:
            torch.cuda.synchronize()
            return self.inner(x)

    warnings: list[str] = []
    engine = engine_for(replace(net, graph=Waiting()), 2, warnings.append)
    engine.warm_up()
    assert engine.mode.startswith(f"{TORCH} instead of ")
    assert len(warnings) == 1
    explained(engine.run(pictures(1, SIDE), [Options()])[0])
    warm(net)  # and the next capture succeeds
