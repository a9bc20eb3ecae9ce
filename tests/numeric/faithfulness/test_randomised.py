"""The randomisation test: a copy of the network forgets what it learned, layer by layer from the top."""

import copy
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from shared.contract import EvaluationRecord, ImageRef, Options
from tests.numeric.networks import architecture, load, network, pictures, tiny
from worker.core.engine.engine import Engine, to_input
from worker.core.engine.library import Library
from worker.core.engine.proven import ProvenEngine
from worker.core.engine.randomised import STAGES, cascade
from worker.core.faithfulness.scores import rank_correlation
from worker.core.maps.explain import no_step
from worker.core.model.network import Network
from worker.core.types import Explanation, Geometry, ImageOptions, UInt8Array
from worker.image.batcher import Batcher
from worker.image.evaluation import Evaluator

SIDE = 64


def stages_of(
    net: Network, *methods: str, picture: UInt8Array | None = None, step: Callable[[], None] = no_step
) -> Explanation:
    wish = Options(classes=(3,), method=methods[0])  # type: ignore[arg-type]
    seen = to_input([pictures(1, SIDE)[0] if picture is None else picture], net)
    found = cascade(net, seen, methods, wish, step)  # type: ignore[arg-type]
    assert isinstance(found, Explanation)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_rank_correlation_is_spearmans(seed: int) -> None:
    """With equal cells too; 1 for the map itself, -1 for its reverse, and nothing to say of a map without an order."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 9, (2, 7, 7)).astype(np.float32)

    assert rank_correlation(first, second) == pytest.approx(scipy.stats.spearmanr(first, second, axis=None).statistic)
    assert rank_correlation(first, first) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    assert rank_correlation(first * 0 + 2, second) is None
    assert rank_correlation(first, first * 0 + 2) == rank_correlation(first, None) == 0


def test_the_network_as_it_is_gives_its_own_maps() -> None:
    """Before any layer is random; so the correlation with them is 1."""
    net = tiny()
    methods = ("cam", "layercam", "eigencam")
    real = stages_of(net, *methods).randomised[0]

    assert real.layer == ""
    for method, values in zip(methods, real.maps, strict=True):
        (found,) = Engine(net, 1).run([pictures(1, SIDE)[0]], [Options(classes=(3,), method=method)])  # type: ignore[arg-type]
        assert isinstance(found, Explanation)
        assert values is not None
        assert np.allclose(values, found.classes[0].values, rtol=1e-4, atol=1e-6)
        assert rank_correlation(values, values) == pytest.approx(1)


def test_layers_become_random_from_the_top() -> None:
    """The head first, the first convolution last. Each stage adds to those before it."""
    found = stages_of(tiny(), "cam")
    assert [stage.layer for stage in found.randomised] == ["", "3", "0.3", "0.1", "0.0"]

    deep = stages_of(network("resnet18", 10), "cam")
    names = [stage.layer for stage in deep.randomised]
    assert len(names) == STAGES + 1
    assert (names[1], names[-1]) == ("fc", "conv1")
    assert [name.partition(".")[0] for name in names[2:-1]] == sorted(
        (name.partition(".")[0] for name in names[2:-1]), reverse=True
    )


def test_what_is_random_in_each_stage_shows_in_the_map_alone_that_it_reaches() -> None:
    """Eigen-CAM looks at the activations only, its sign aside: a random head changes nothing of it, layers below do."""
    real, head, *below = (stage.maps[0] for stage in stages_of(tiny(), "eigencam").randomised)

    assert np.array_equal(np.abs(cast(Any, real)), np.abs(cast(Any, head)))
    assert not any(np.allclose(np.abs(cast(Any, real)), np.abs(cast(Any, each))) for each in below)


def test_the_served_network_is_never_touched() -> None:
    """Every tensor and every buffer is the same afterwards, bit by bit, and no hook is left."""
    net = network("resnet18", 10)
    before = copy.deepcopy(net.module.state_dict())
    head = net.head.weight.clone() if net.head else None

    stages_of(net, "cam", "gradcam")

    after = net.module.state_dict()
    assert all(torch.equal(after[name], values) for name, values in before.items())
    assert net.head is not None
    assert head is not None
    assert torch.equal(net.head.weight, head)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in net.hookable.modules())


def test_it_is_the_same_every_time() -> None:
    """On the same picture, whatever ran before it."""
    net = tiny()
    first = stages_of(net, "cam")
    stages_of(net, "cam", picture=pictures(2, SIDE)[1])
    again = stages_of(net, "cam")

    for one, other in zip(first.randomised, again.randomised, strict=True):
        assert np.array_equal(cast(Any, one.maps[0]), cast(Any, other.maps[0]))


@pytest.mark.slow
def test_a_network_without_a_closed_form_is_tested_by_autograd() -> None:
    """Its first stage is the last layer, and not a head."""
    net = network("vgg11")
    found = stages_of(net, "gradcam", "hirescam")

    assert (found.randomised[1].layer, found.randomised[-1].layer) == ("classifier.6", "features.0")
    real, *rest = (stage.maps[1] for stage in found.randomised)
    assert not any(np.allclose(cast(Any, real), cast(Any, each)) for each in rest)


#: What the network below was made to see in a cell of 8 x 8 pixels, and what hides it from any other.
PATTERN = np.random.default_rng(7).choice([-1, 1], (8, 8, 3))
STRENGTH, NOISE = 20, 40


class Matched(nn.Module):
    """Knows one pattern: its class 3 adds up how strongly each cell shows it, by the one useful channel of sixteen."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU())
        self.pool, self.flat, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes)
        with torch.no_grad():
            for each in self.parameters():
                each.normal_(0, 0.001, generator=torch.Generator().manual_seed(0))
            first, second = self.features[0], self.features[2]
            first.weight[0] = torch.from_numpy(PATTERN.transpose(2, 0, 1)) / PATTERN.size  # type: ignore[index, operator]
            first.bias[0] = second.weight[0, 0] = self.fc.weight[3, 0] = 1.0  # type: ignore[index, operator]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc(self.flat(self.pool(self.features(x))))
        return found


def test_of_what_a_network_learned_nothing_is_left_in_the_end() -> None:
    """A hand-made one, whose map says how strong a pattern is in each cell of noise: at random it no longer does."""
    with architecture(Matched):
        net = load(Matched(10), "resnet18")
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(20):
        strength = rng.random((8, 8))
        shown = STRENGTH * np.kron(strength[..., None], np.ones((8, 8, 1))) * np.tile(PATTERN, (8, 8, 1))
        picture = (127 + shown + rng.normal(0, NOISE, (64, 64, 3))).clip(0, 255).astype(np.uint8)
        real, *stages = (stage.maps[0] for stage in stages_of(net, "cam", picture=picture).randomised)
        assert real is not None
        assert cast(float, rank_correlation(real, strength.astype(np.float32))) > 0.8
        kept.append(cast(float, rank_correlation(real, stages[-1])))

    assert abs(float(np.mean(kept))) < 0.15, kept


@contextmanager
def untimed(_stage: str) -> Iterator[None]:
    yield


def fatal(error: BaseException) -> None:
    raise AssertionError("the engine's thread died") from error


def evaluated(engine: Engine, net: Network, **options: Any) -> tuple[EvaluationRecord, ...]:
    picture = cast(Any, SimpleNamespace(pixels=pictures(1, SIDE)[0], geometry=Geometry(64, 64, (0.0, 0.0, 64.0, 64.0))))
    wish = Options(evaluate=("cam", "gradcam"), **options)
    with closing(Batcher(engine, 0.0, untimed, fatal)) as batcher:
        engine.on_step = batcher.beat
        return Evaluator(net, batcher)(ImageRef(index=0), wish, picture, lambda: None)


def test_an_evaluation_has_it_for_each_method() -> None:
    """A layer and a correlation for each stage; nothing unless it was asked for."""
    net = tiny()
    assert [record.randomisation for record in evaluated(Engine(net, 4), net)] == [(), ()]

    records = evaluated(Engine(net, 4), net, randomise=True)

    for record in records:
        assert [layer for layer, _ in record.randomisation] == ["3", "0.3", "0.1", "0.0"]
        assert all(-1 <= value <= 1 for _, value in record.randomisation)
    assert records[0].randomisation != records[1].randomisation


def test_a_faster_engine_leaves_it_to_torch_and_answers_others_meanwhile() -> None:
    """The library's graph has the learned weights. An urgent picture is let in between two stages."""
    net = tiny()
    engine = ProvenEngine(net, 4, Library(net), lambda _: None)
    engine.warm_up()
    wish = ImageOptions(classes=(3,), randomised=("cam",))
    size = net.spec.size
    steps: list[str] = []

    def urgent() -> None:
        (found,) = engine.run([pictures(1, size)[0]], [Options(top_k=1)])
        assert isinstance(found, Explanation)
        steps.append(found.engine or "")

    engine.on_step = urgent
    (found,) = engine.run([pictures(1, size)[0]], [wish])

    assert isinstance(found, Explanation)
    assert str(found.engine).startswith("torch ")
    assert len(found.randomised) == 5
    assert set(steps) == {engine.name}
    assert engine.name.startswith("onnxruntime")
    assert len(steps) == 4
