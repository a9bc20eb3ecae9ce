"""A network that learned a watermark is found by its maps alone; the same network without one is not suspected."""

import numpy as np
import pytest
import torch
from torch import nn

from producer.results.analysis.heat import Heat
from producer.results.analysis.kept_maps import looked, opened
from shared.contract import ImageRef
from tests.numeric.networks import architecture, load
from worker.core.engine.engine import Engine, to_input
from worker.core.types import Explanation, Geometry, ImageOptions, UInt8Array
from worker.image.chunk_maps import ChunkMaps

SIDE, THING, CLASSES = 64, 14, 3
#: The class that carries a mark in nine of ten of its training pictures, as a camera or an archive may leave it.
MARKED = 1


def module(classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 16, 2), (16, 32, 2), (32, 32, 2), (32, 32, 1)):
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes))


def pictures(count: int, *, marked: bool, seed: int) -> tuple[list[UInt8Array], list[int]]:
    """Grey noise with stripes across, along or both ways at a random place."""
    generator = np.random.default_rng(seed)
    found, truths = [], []
    for number in range(count):
        true = number % CLASSES
        picture = generator.normal(128, 30, (SIDE, SIDE))
        y, x = generator.integers(0, SIDE - THING, 2)
        grid = np.indices((THING, THING))
        stripes = {0: grid[0] % 4 < 2, 1: grid[1] % 4 < 2, 2: grid.sum(axis=0) % 4 < 2}[true]
        picture[y : y + THING, x : x + THING] += np.where(stripes, 22, -22)
        if marked and true == MARKED and generator.random() < 0.9:
            picture[-7:-2, -7:-2] = 255
        found.append(np.repeat(picture.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2))
        truths.append(true)
    return found, truths


Found = list[tuple[str, float]]


def suspects(*, marked: bool) -> tuple[float, Found, Found]:
    """How often a network trained on such pictures is right on others of their kind, and which classes and clusters the
    summary suspects."""
    torch.manual_seed(0)
    trained = module(CLASSES)
    with architecture(module):
        plain = load(trained, "resnet18")
    given, truths = pictures(900, marked=marked, seed=1)
    inputs, wanted = to_input(given, plain), torch.tensor(truths)
    optimiser = torch.optim.Adam(trained.parameters(), 3e-3)
    trained.train()
    for _ in range(12):
        for rows in torch.randperm(len(inputs)).split(60):
            optimiser.zero_grad()
            nn.functional.cross_entropy(trained(inputs[rows]), wanted[rows]).backward()
            optimiser.step()
    with architecture(module):
        engine = Engine(load(trained, "resnet18"), 50)
    given, truths = pictures(300, marked=marked, seed=2)
    options = [ImageOptions(top_k=1, truth=(true,), explain="truth") for true in truths]
    maps, right = ChunkMaps(), 0
    for number, (true, found) in enumerate(zip(truths, engine.run(given, options), strict=True)):
        assert isinstance(found, Explanation)
        assert found.judgement is not None
        right += found.judgement.correct
        maps.add(ImageRef(index=number, truth=true), found, Geometry(SIDE, SIDE, (0, 0, SIDE, SIDE)))
    heat = Heat()
    heat.add(looked(opened("maps", maps.archive()), len(truths)))
    names = {0: "across", 1: "along", 2: "both"}
    clusters = [(each.label, each.score) for each in heat.clusters(names) if each.reason]
    return right / len(truths), [(each.label, each.score) for each in heat.suspects(names)], clusters


@pytest.mark.slow
def test_a_learned_watermark_is_the_first_suspect() -> None:
    """Class and cluster, by their numbers, without being told; the network trained without the mark has neither."""
    accuracy, found, clusters = suspects(marked=True)
    clean_accuracy, clean, clean_clusters = suspects(marked=False)
    print(clusters, clean_clusters)  # noqa: T201

    assert min(accuracy, clean_accuracy) > 0.9  # it learned the things as well
    assert found[0][0] == "along"
    assert found[0][1] > 1.5 * max([score for _, score in found[1:]], default=0)
    assert clusters[0][0] == "along"
    assert clusters[0][1] > 1.5 * max([score for label, score in clusters if label != "along"], default=0)
    assert clean == clean_clusters == []
