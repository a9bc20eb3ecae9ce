"""Micro-batches: order, independence of the batch, one fate per image, memory."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shared.contract import Options
from shared.errors import ImageError, ModelError
from tests.numeric.networks import every_method, explained, network, numbers, picky, pictures, red
from worker.core.engine.engine import Engine


@pytest.mark.parametrize(
    ("name", "size", "batches"),
    [("resnet18", 96, (1, 7, 32)), ("squeezenet1_1", 65, (1, 7)), ("densenet121", 48, (1, 7))],
)
def test_results_do_not_depend_on_the_batch(name: str, size: int, batches: tuple[int, ...]):
    """Pictures of all methods and both targets, in micro-batches of 1, 7 and 32: equal to 1e-5 of the maps' maximum."""
    net = network(name, 10)
    wishes = every_method(net, top_k=10)
    wishes += every_method(net, top_k=10, target="softmax")
    batch, mixed = pictures(max(batches), size), (wishes * 2)[: max(batches)]
    mixed = mixed if max(batches) > 7 else wishes[::3] + wishes[7:8]
    runs = [Engine(net, most).run(batch[: len(mixed)], mixed) for most in batches]
    for alone, *others in zip(*runs, strict=True):
        places, expected = numbers(alone)
        for other in others:
            assert numbers(other)[0] == places
            np.testing.assert_allclose(numbers(other)[1], expected, rtol=0, atol=1e-5)


def test_permuting_pictures_permutes_results():
    """Each picture keeps its own answer, its own options, and its place."""
    net = network("resnet18", 10)
    batch, wishes = pictures(8), (every_method(net)[:3] * 3)[:8]
    order = np.random.default_rng(0).permutation(8)
    straight = Engine(net, 5).run(batch, wishes)
    turned = Engine(net, 5).run([batch[i] for i in order], [wishes[i] for i in order])
    for place, index in enumerate(order):
        assert numbers(turned[place])[0] == numbers(straight[index])[0]
        np.testing.assert_allclose(numbers(turned[place])[1], numbers(straight[index])[1], rtol=0, atol=1e-5)


def test_asked_for_classes_come_in_the_order_asked_with_their_true_ranks():
    """And with the same numbers as among the top k."""
    net = network("resnet18", 10)
    batch = pictures(1)
    best = explained(Engine(net, 1).run(batch, [Options(top_k=10)])[0])
    assert [each.rank for each in best] == list(range(1, 11))
    assert sum(each.probability for each in best) == pytest.approx(1, abs=1e-6)
    asked = explained(Engine(net, 1).run(batch, [Options(classes=(7, 2, 5))])[0])
    assert [each.class_index for each in asked] == [7, 2, 5]
    for each in asked:
        same = best[each.rank - 1]
        assert (same.class_index, same.logit, same.probability) == (each.class_index, each.logit, each.probability)
        np.testing.assert_allclose(each.values, same.values, atol=1e-6)


def test_one_forward_serves_all_methods_classes_and_jobs():
    """Pictures of several jobs with different options share their forward."""
    net, module = picky(RuntimeError)
    wishes = [*every_method(network("resnet18", 10)), Options(classes=(1, 2)), Options(top_k=7)]
    for outcome in Engine(net, 16).run(pictures(len(wishes)), wishes):
        explained(outcome)
    assert module.batches == [len(wishes)]


def test_pictures_of_several_sizes_each_get_their_forward():
    """A larger input gives a finer map; sizes never mix in a batch."""
    net = network("resnet18", 10)
    sizes = [64, 448, 64, 96, 448]
    batch = [pictures(1, size)[0] for size in sizes]
    outcomes = Engine(net, 8).run(batch, [Options()] * 5)
    assert [explained(each)[0].values.shape for each in outcomes] == [(side, side) for side in (2, 14, 2, 3, 14)]


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_guilty_picture_fails_alone(place: int):
    """Wherever it stands in the micro-batch; its neighbours' results are those of a batch without it."""
    net, module = picky(ValueError)
    batch = pictures(7)
    expected = Engine(network("resnet18", 10), 7).run(batch, [Options()] * 7)
    batch[place] = red()
    engine = Engine(net, 7)
    outcomes = engine.run(batch, [Options()] * 7)
    for index, outcome in enumerate(outcomes):
        if index == place:
            assert isinstance(outcome, ImageError)
            assert (outcome.code, outcome.message) == ("inference", "ValueError: this picture cannot be run")
        else:
            np.testing.assert_allclose(numbers(outcome)[1], numbers(expected[index])[1], rtol=0, atol=1e-5)
    assert engine.max_batch_size == 7
    assert len(module.batches) <= 1 + 2 * 3  # the whole, then two halves on each of three levels


def test_all_pictures_guilty_end_one_by_one():
    """Nothing loops, every picture has its error."""
    net, _ = picky(ValueError)
    outcomes = Engine(net, 4).run([red()] * 9, [Options()] * 9)
    assert [type(each) for each in outcomes] == [ImageError] * 9


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError, MemoryError, partial(RuntimeError, "DefaultCPUAllocator: can't allocate memory:")]
)
def test_out_of_memory_halves_the_micro_batch_and_remembers(error: type[Exception]):
    """No picture fails for it, and the next call starts with what fitted."""
    net, module = picky(error, limit=5)
    engine = Engine(net, 16)
    for outcome in engine.run(pictures(16), [Options()] * 16):
        explained(outcome)
    assert engine.max_batch_size == 4
    assert module.batches == [16, 8, 4, 4, 4, 4]
    module.batches.clear()
    engine.run(pictures(8), [Options()] * 8)
    assert module.batches == [4, 4]


def test_a_picture_too_large_for_the_memory_alone_fails_alone():
    """With what would mend it, and it leaves the size of the micro-batches as it was."""
    net, _ = picky(MemoryError, limit=0)
    engine = Engine(net, 2)
    outcomes = engine.run(pictures(2), [Options()] * 2)
    for outcome in outcomes:
        assert isinstance(outcome, ImageError)
        assert "this picture alone, at 64 pixels, needs more memory than cpu has; a smaller" in outcome.message
    assert engine.max_batch_size == 2


def test_a_picture_that_is_guilty_of_a_lack_of_memory_costs_its_neighbours_nothing():
    """Whatever was halved to find it is taken back: the next micro-batch is a full one."""
    net, module = picky(MemoryError)
    engine = Engine(net, 8)
    outcomes = engine.run([*pictures(5), red(), *pictures(2)], [Options()] * 8)
    assert [isinstance(each, ImageError) for each in outcomes] == [False] * 5 + [True] + [False] * 2
    module.batches.clear()
    engine.run(pictures(8), [Options()] * 8)
    assert (engine.max_batch_size, module.batches) == (8, [8])


@pytest.mark.parametrize("limit", [0, 2])
def test_pictures_larger_than_usual_have_a_micro_batch_of_their_own(limit: int):
    """Whether they fit in smaller ones or not at all, those of the network's own size run together as before."""
    net, module = picky(MemoryError, limit=limit)
    module.spared = net.spec.size
    large, engine = net.spec.size + 32, Engine(net, 8)
    for _ in range(2):  # what was learnt of the large ones holds for the next of them
        module.batches.clear()
        engine.run(pictures(4, large), [Options(input_size=large)] * 4)
    assert module.batches == ([2, 2] if limit else [4, 2, 1, 1, 2, 1, 1])
    module.batches.clear()
    engine.run(pictures(8), [Options()] * 8)
    assert (engine.max_batch_size, module.batches) == (8, [8])


def test_a_picture_with_a_non_finite_output_fails_alone():
    """A not-a-number in one picture's activations reaches no neighbour and no overlay."""
    net = network("resnet18", 10)

    class Diverging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net.graph

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            logits, activations = self.inner(x)
            return torch.where((x[:, 0].amin((1, 2)) > 2)[:, None], torch.nan, logits), activations

    broken = replace(net, graph=Diverging())
    good, bad = Engine(broken, 2).run([pictures(1)[0], red()], [Options()] * 2)
    explained(good)
    assert isinstance(bad, ImageError)
    assert "not finite" in bad.message


def test_options_that_the_network_cannot_serve_fail_their_own_pictures_only():
    """Jobs share micro-batches, so one job's mistake must not reach another's pictures."""
    net = network("resnet18", 10)
    wishes = [Options(), Options(input_size=16), Options(method="cam", target_layer="layer2"), Options(classes=(99,))]
    first, *others = Engine(net, 4).run(pictures(4), wishes)
    explained(first)
    assert [each.code for each in others if isinstance(each, ImageError)] == ["inference"] * 3
    assert "classes 0 to 9" in str(others[2])


def test_no_pictures_give_no_results_and_unequal_lengths_are_an_error():
    """The caller pairs results with pictures by position."""
    engine = Engine(network("resnet18", 10), 4)
    assert engine.run([], []) == []
    with pytest.raises(ValueError, match="zip"):
        engine.run(pictures(2), [Options()])


def test_warming_up_runs_one_picture_and_a_full_micro_batch():
    """And refuses a network that cannot run at all."""
    net, module = picky(RuntimeError)
    Engine(net, 3).warm_up()
    assert module.batches == [1, 3]
    with pytest.raises(ModelError, match="does not run on cpu in float32"):
        Engine(picky(MemoryError, limit=0)[0], 3).warm_up()
