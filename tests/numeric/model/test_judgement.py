"""Where the true class stands among all: against a sort of the network's own logits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.contract import Options
from tests.numeric.networks import pictures, tiny
from worker.core.engine.choice import engine_for
from worker.core.engine.engine import Engine, to_input
from worker.core.maps.explain import judged
from worker.core.model.network import Network
from worker.core.types import Explanation, ImageOptions, Judgement, Standing

COUNT = 4


def engines(net: Network) -> list[Engine]:
    """The torch network, and the inference library."""
    proven = engine_for(replace(net, spec=replace(net.spec, size=64)), COUNT, pytest.fail)
    proven.warm_up()
    return [Engine(net, COUNT), proven]


def run(engine: Engine, wishes: list[Options]) -> list[Explanation]:
    found = engine.run(pictures(len(wishes)), wishes)
    assert all(isinstance(each, Explanation) for each in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("outputs", ["softmax", "sigmoid"])
def test_rank_and_probability_are_among_all_classes(outputs: str) -> None:
    """Of every true class, whichever classes are explained, on each engine and in a mixed micro-batch."""
    net = replace(tiny(), outputs=outputs)
    logits = net.classify(to_input(pictures(COUNT), net)).double().numpy()
    order = np.argsort(-logits, axis=1)
    shares = (
        np.exp(logits) / np.exp(logits).sum(1, keepdims=True) if outputs == "softmax" else 1 / (1 + np.exp(-logits))
    )
    truths: list[tuple[int, ...] | None] = [(7,), (0, 9, 3), None, ()]
    for engine in engines(net):
        found = run(engine, [ImageOptions(top_k=2, truth=truth) for truth in truths])
        for row, (truth, each) in enumerate(zip(truths, found, strict=True)):
            assert [c.class_index for c in each.classes] == order[row, :2].tolist()
            if truth is None:
                assert each.judgement is None
                continue
            assert each.judgement is not None
            assert [s.class_index for s in each.judgement.true] == list(truth)
            assert [s.rank for s in each.judgement.true] == [order[row].tolist().index(c) + 1 for c in truth]
            np.testing.assert_allclose(
                [s.probability for s in each.judgement.true], shares[row, list(truth)], rtol=1e-4
            )
            there = order[row, :1] if outputs == "softmax" else [c for c in order[row] if shares[row, c] >= 0.5]
            assert [s.class_index for s in each.judgement.predicted] == list(there)


def test_ties_are_ordered_as_in_top_k() -> None:
    """By class index."""
    logits = np.array([1.0, 2.0, 2.0, 0.0, 2.0], np.float32)

    found = judged((4, 1), np.stack([logits, logits / 10]), "softmax")

    assert [standing.rank for standing in found.true] == [3, 1]
    assert found == Judgement(found.true, (Standing(1, 1, pytest.approx(0.2)),))


@pytest.mark.parametrize("method", ["cam", "gradcam", "scorecam"])
def test_the_map_of_the_true_class_stands_beside_the_best(method: str) -> None:
    """The same map as of that class asked for by name; a true class among the best is not there twice."""
    net = tiny()
    engine = Engine(net, COUNT)
    plain = run(engine, [Options(top_k=10, method=method)] * 2)  # type: ignore[arg-type]
    best, worst = plain[0].classes[0].class_index, plain[1].classes[-1].class_index
    wishes = [
        ImageOptions(top_k=2, method=method, explain="truth", truth=truth)  # type: ignore[arg-type]
        for truth in ((best,), (worst, plain[1].classes[4].class_index))
    ]

    first, second = run(engine, wishes)

    assert [each.rank for each in first.classes] == [1, 2]
    assert [each.rank for each in second.classes] == [1, 2, 10, 5]
    for each in second.classes:
        same = plain[1].classes[each.rank - 1]
        assert (each.class_index, each.logit) == (same.class_index, pytest.approx(same.logit, abs=1e-5))
        np.testing.assert_allclose(each.values, same.values, atol=1e-5 * np.abs(same.values).max())


def test_the_true_class_is_explained_however_improbable() -> None:
    """`min_probability` chooses among the others."""
    net = tiny()
    plain = run(Engine(net, 1), [Options(top_k=10)])[0]
    last = plain.classes[-1].class_index

    found = run(Engine(net, 1), [ImageOptions(min_probability=0.999, explain="truth", truth=(last,))])[0]

    assert [each.class_index for each in found.classes] == [last]


def test_classes_of_one_picture_are_its_own() -> None:
    """Several pictures of a micro-batch with as many classes each are answered together, each by its own."""
    net = tiny()
    engine = Engine(net, COUNT)
    wishes = [ImageOptions(classes=classes) for classes in ((3, 1), (9, 0), (5,))]

    together = run(engine, list(wishes))

    for row, wish in enumerate(wishes):
        alone = engine.run(pictures(len(wishes))[row : row + 1], [wish])[0]
        assert isinstance(alone, Explanation)
        assert [c.class_index for c in together[row].classes] == list(wish.classes or ())
        for one, other in zip(together[row].classes, alone.classes, strict=True):
            assert one.rank == other.rank
            torch.testing.assert_close(torch.tensor(one.values), torch.tensor(other.values), rtol=1e-4, atol=1e-5)


def test_a_true_class_that_is_none_fails_the_picture() -> None:
    """References are input: they lie where others may write."""
    found = Engine(tiny(), 1).run(pictures(1), [ImageOptions(truth=(10,))])[0]

    assert not isinstance(found, Explanation)
    assert "no class 10" in found.message
