"""A worker's evaluation of one picture: a real network in a real batcher, against the network asked directly."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
import torch

from shared.contract import EvaluationRecord, ImageRef, Options, forwards
from shared.errors import ImageError
from tests.numeric.evaluating import GEOMETRY, fatal, go_on, untimed
from tests.numeric.networks import explained, network, pictures, tiny
from worker.core.engine.engine import Engine, to_input
from worker.core.faithfulness.places import overlaps, points_at
from worker.core.faithfulness.scores import STEPS, faithfulness
from worker.core.maps.evidence import probabilities
from worker.core.model.network import Network
from worker.core.types import Explanation, FloatArray, ImageOptions
from worker.devices.container import cores
from worker.errors import CancelledJobError
from worker.image.batcher import Batcher
from worker.image.evaluation import AT_ONCE, Evaluator

SIDE = 64
PICTURE = pictures(1, SIDE)[0]


def evaluated(
    net: Network, ref: ImageRef, *methods: str, check: Any = go_on, max_batch_size: int = 16
) -> tuple[EvaluationRecord, ...]:
    options = Options(top_k=3, evaluate=methods)  # type: ignore[arg-type]
    picture = cast(Any, SimpleNamespace(pixels=PICTURE, geometry=GEOMETRY))
    with closing(Batcher(Engine(net, max_batch_size), 0.0, untimed, fatal)) as batcher:
        return Evaluator(net, batcher)(ref, options, picture, check)


def by_hand(net: Network, method: str) -> tuple[Explanation, Any]:
    """The map of the best class, and its numbers, without batcher or engine between network and pictures."""
    (found,) = Engine(net, 1).run([PICTURE], [Options(method=method, top_k=1)])  # type: ignore[arg-type]
    (best,) = explained(found)

    def classify(changed: Sequence[FloatArray]) -> list[float]:
        whole = [np.rint(each).astype(np.uint8) for each in changed]
        logits = net.classify(to_input(whole, net)).double()
        return probabilities(logits, net.outputs)[:, best.class_index].tolist()

    mean, std = (np.float32(each) * 255 for each in (net.spec.mean, net.spec.std))
    pixels = PICTURE.astype(np.float32)
    return cast(Explanation, found), faithfulness(
        best.values, pixels, best.probability, classify, blank=mean, noise=0.01 * std
    )


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_the_numbers_are_the_networks_whatever_the_batch(batch: int) -> None:
    """Rounded to bytes as every picture is; the class is the best one."""
    net = tiny()
    records = evaluated(net, ImageRef(index=0), "cam", "layercam", max_batch_size=batch)

    assert [record.method for record in records] == ["cam", "layercam"]
    for record in records:
        found, numbers = by_hand(net, record.method)
        assert record.class_index == found.classes[0].class_index
        assert record.increase == numbers.increase
        for name, value in (
            ("drop", numbers.drop),
            ("deletion", numbers.deletion),
            ("insertion", numbers.insertion),
            ("road", (numbers.lerf - numbers.morf) / 2),
            ("road_morf", numbers.morf),
            ("road_lerf", numbers.lerf),
            ("sparsity", numbers.sparsity),
            ("complexity", numbers.complexity),
        ):
            assert getattr(record, name) == pytest.approx(value, abs=1e-5), name
        assert record.seconds > 0
        assert (record.pointing, record.overlaps) == (None, ())
        assert msgspec.json.decode(msgspec.json.encode(record), type=EvaluationRecord) == record


def test_a_box_is_looked_for_by_the_map_of_its_own_class() -> None:
    """In pixels of the original, which is twice as wide as the network's input."""
    net = tiny()
    (ranked,) = Engine(net, 1).run([PICTURE], [Options(top_k=10)])
    third = explained(ranked)[2]
    boxes = ((20, 10, 100, 60), (0, 0, 8, 8))

    (record,) = evaluated(net, ImageRef(index=0, truth=third.class_index, boxes=boxes), "cam")

    assert record.class_index == explained(ranked)[0].class_index
    assert record.pointing == points_at(third.values, GEOMETRY, boxes, 15)
    assert record.overlaps == pytest.approx(overlaps(third.values, GEOMETRY, boxes), abs=1e-4)
    (best,) = evaluated(net, ImageRef(index=0, boxes=boxes), "cam")
    assert best.overlaps == pytest.approx(overlaps(explained(ranked)[0].values, GEOMETRY, boxes), abs=1e-4)


@pytest.mark.slow
def test_many_evaluations_leave_room_for_other_jobs() -> None:
    """However many images are evaluated, few pictures of theirs wait, and none of them is urgent."""
    net = tiny()
    waited: list[int] = []
    asked: set[bool] = set()
    options = Options(evaluate=("cam", "layercam"))
    picture = cast(Any, SimpleNamespace(pixels=PICTURE, geometry=GEOMETRY))

    class Noted(Batcher):
        def explain_all(self, *given: Any, urgent: bool, **named: Any) -> list[Explanation]:
            asked.add(urgent)
            return super().explain_all(*given, urgent=urgent, **named)

    def look(size: int) -> None:
        waited.append(size + batcher.waiting)

    with closing(Noted(Engine(net, 8), 0.0, untimed, fatal, look)) as batcher, ThreadPoolExecutor(24) as pool:
        evaluator = Evaluator(net, batcher)
        found = list(pool.map(lambda index: evaluator(ImageRef(index=index), options, picture, go_on), range(24)))

    assert all(len(each) == 2 for each in found)
    assert asked == {False}
    assert max(waited) <= max(AT_ONCE, cores()) * (STEPS + 1)


@pytest.mark.parametrize("methods", [("cam",), ("cam", "layercam")])
def test_an_evaluation_costs_what_is_said_of_it_before(methods: tuple[Any, ...]) -> None:
    """So many pictures go through the network for each picture and method."""
    net, options, sizes = tiny(), Options(evaluate=methods), list[int]()
    picture = cast(Any, SimpleNamespace(pixels=PICTURE, geometry=GEOMETRY))
    with closing(Batcher(Engine(net, 8), 0.0, untimed, fatal, sizes.append)) as batcher:
        Evaluator(net, batcher)(ImageRef(index=0), options, picture, go_on)

    assert sum(sizes) == forwards(options)


def test_a_cancelled_job_is_evaluated_no_further() -> None:
    """Whatever its picture waits for."""

    def cancelled() -> None:
        raise CancelledJobError

    with pytest.raises(CancelledJobError):
        evaluated(network(), ImageRef(index=0), "cam", check=cancelled)


@pytest.mark.parametrize("name", ["resnet18", pytest.param("vgg11", marks=pytest.mark.slow)])
def test_who_asks_for_no_class_gets_no_map_but_learns_where_the_true_one_stands(name: str) -> None:
    """With a closed form and without; beside pictures that want maps, it is the same."""
    net = network(name, 10) if name == "resnet18" else network(name)
    method = net.methods[0]
    several = pictures(3, net.spec.size)
    asked = ImageOptions(method=method, classes=(), truth=(4,))  # type: ignore[arg-type]
    usual = Options(method=method, top_k=1)  # type: ignore[arg-type]

    alone = Engine(net, 4).run(several, [asked] * 3)
    mixed = Engine(net, 4).run(several, [asked, usual, asked])

    shares = net.classify(to_input(several, net)).softmax(1)[:, 4]
    for outcome, share in zip(alone, shares, strict=True):
        assert explained(outcome) == ()
        assert isinstance(outcome, Explanation)
        assert outcome.judgement is not None
        assert outcome.judgement.true[0].probability == pytest.approx(float(share), abs=1e-5)
    assert [len(explained(outcome)) for outcome in mixed] == [0, 1, 0]
    assert net.autograd_layers(asked) == ()


def test_a_picture_without_a_finite_answer_fails_also_where_no_map_is_asked_for(monkeypatch: Any) -> None:
    """It has no probability."""
    net = tiny()
    broken = torch.full((1, 10), float("nan"))
    monkeypatch.setattr(type(net), "forward", lambda self, inputs: (broken, torch.zeros(1, 8, 2, 2)))

    (outcome,) = Engine(net, 1).run([PICTURE], [ImageOptions(classes=(), truth=(0,))])

    assert isinstance(outcome, ImageError)
    assert "not finite" in str(outcome)
