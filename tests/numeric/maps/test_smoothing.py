"""Maps that are averaged over a picture and its mirror image."""

from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from shared.contract import ImageRef, Options
from tests.numeric.evaluating import GEOMETRY, fatal, go_on, untimed
from tests.numeric.networks import network, pictures
from worker.core.engine.engine import Engine
from worker.core.model.network import Network
from worker.core.types import ClassMap, Explanation, ImageOptions, UInt8Array
from worker.image.batcher import Batcher
from worker.image.evaluation import Evaluator
from worker.image.smoothing import smoothed

PICTURE = pictures(1, 96)[0]


def alone(net: Network, pixels: UInt8Array, options: Options) -> Explanation:
    (found,) = Engine(net, 1).run([pixels], [options])
    assert isinstance(found, Explanation)
    return found


@pytest.mark.parametrize("method", ["cam", "layercam", "eigencam"])
def test_each_map_is_the_mean_of_both(method: str) -> None:
    """Of the same class, although another may be best in the mirror image; all else is the picture's own."""
    net = network("resnet18", 10)
    wish = ImageOptions(method=method, top_k=3, smooth="flips", truth=(4,), explain="truth")  # type: ignore[arg-type]
    found = smoothed(lambda pixels, options: alone(net, pixels, options), PICTURE, wish)
    own = alone(net, PICTURE, wish)
    classes = tuple(each.class_index for each in own.classes)
    other = alone(net, PICTURE[:, ::-1].copy(), Options(method=method, classes=classes))  # type: ignore[arg-type]

    assert found.judgement == own.judgement
    for ours, first, second in zip(found.classes, own.classes, other.classes, strict=True):
        assert (ours.class_index, ours.rank, ours.logit) == (first.class_index, first.rank, first.logit)
        np.testing.assert_array_equal(ours.values, (first.values + second.values[:, ::-1]) / 2)
        assert not np.allclose(ours.values, first.values, rtol=1e-3)


def test_the_map_of_a_mirror_image_is_the_maps_mirror_image() -> None:
    """Which no network's own maps are."""
    net = network("resnet18", 10)
    wish = Options(classes=(7, 2), smooth="flips")

    def of(pixels: UInt8Array) -> tuple[ClassMap, ...]:
        return smoothed(lambda each, options: alone(net, each, options), pixels, wish).classes

    for straight, turned in zip(of(PICTURE), of(PICTURE[:, ::-1].copy()), strict=True):
        np.testing.assert_array_equal(straight.values, turned.values[:, ::-1])


def test_a_smoothed_cam_adds_up_to_the_mean_of_both_logits() -> None:
    """The identity stays."""
    net = network("resnet18", 10)
    assert net.head is not None
    wish = Options(classes=(7,), smooth="flips")
    (found,) = smoothed(lambda pixels, options: alone(net, pixels, options), PICTURE, wish).classes
    logits = [alone(net, each, Options(classes=(7,))).classes[0].logit for each in (PICTURE, PICTURE[:, ::-1].copy())]
    assert found.values.mean() + float(net.head.outside[7]) == pytest.approx(np.mean(logits), rel=1e-5)


def test_nothing_is_turned_where_nobody_asked_for_it_or_no_map_is_there() -> None:
    """One forward each."""
    net = network("resnet18", 10)
    for wish in (Options(top_k=1), Options(min_probability=0.999, smooth="flips")):
        asked: list[Options] = []

        def explain(pixels: UInt8Array, options: Options, asked: list[Options] = asked) -> Explanation:
            asked.append(options)
            return alone(net, pixels, options)

        found = smoothed(explain, PICTURE, wish)
        assert asked == [wish]
        assert len(found.classes) == (0 if wish.smooth else 1)


def test_an_evaluation_measures_the_smoothed_map() -> None:
    """As it is drawn, and the time of both forwards counts."""
    net = network("resnet18", 10)
    picture = cast(Any, SimpleNamespace(pixels=PICTURE, geometry=GEOMETRY))
    records = []
    with closing(Batcher(Engine(net, 16), 0.0, untimed, fatal)) as batcher:
        for smooth in (None, "flips"):
            options = Options(evaluate=("cam",), **({"smooth": smooth} if smooth else {}))  # type: ignore[arg-type]
            records += Evaluator(net, batcher)(ImageRef(index=0), options, picture, go_on)
    plain, turned = records
    assert plain.complexity != turned.complexity
    assert plain.class_index == turned.class_index
