"""Score-CAM in micro-batches: its masked forwards, memory, beats, and independence of its neighbours."""

import numpy as np
import pytest
import torch

from shared.contract import Options
from shared.errors import ImageError
from tests.numeric.networks import explained, network, numbers, picky, pictures, tiny
from worker.core.engine.engine import Engine


def test_scorecam_depends_neither_on_the_batch_nor_on_its_order():
    """Micro-batches of 1, 7 and 32, and both targets and several numbers of classes among them; then turned round."""
    wishes = [Options(method="scorecam", top_k=10, target=target) for target in ("logit", "softmax")] * 15
    wishes += [Options(method="scorecam", classes=(7, 2)), Options(method="scorecam", classes=(2, 7))]
    batch = pictures(31, 48)
    batch.append(batch[-1])
    runs = [Engine(tiny(), most).run(batch, wishes) for most in (1, 7, 32)]
    order = np.random.default_rng(0).permutation(32)
    turned = Engine(tiny(), 7).run([batch[i] for i in order], [wishes[i] for i in order])
    runs.append([turned[place] for place in np.argsort(order)])
    for alone, *others in zip(*runs, strict=True):
        places, expected = numbers(alone)
        for other in others:
            assert numbers(other)[0] == places
            np.testing.assert_allclose(numbers(other)[1], expected, rtol=0, atol=1e-5)
    first, second = (explained(outcome) for outcome in runs[0][-2:])
    for one, same in zip(first, reversed(second), strict=True):
        np.testing.assert_allclose(one.values, same.values, atol=1e-6)
    assert np.abs(first[0].values - first[1].values).max() > 1e-3 * first[0].values.max()


def test_scorecam_runs_at_most_a_micro_batch_of_masked_pictures():
    """512 channels of a ResNet18 in forwards of 64: one set for all classes."""
    net, module = picky(RuntimeError)
    [outcome] = Engine(net, 64).run(pictures(1, 32), [Options(method="scorecam", top_k=3)])
    assert len(explained(outcome)) == 3
    assert module.batches == [1, *[64] * 8]


@pytest.mark.slow
def test_a_scorecam_that_lacks_memory_masks_fewer_pictures_at_once():
    """One picture cannot be halved, but its masked pictures run as many at once as a micro-batch holds."""
    net, module = picky(torch.OutOfMemoryError, limit=200)
    engine = Engine(net, 512)
    [outcome] = engine.run(pictures(1, 32), [Options(method="scorecam", top_k=1)])
    [expected] = Engine(network("resnet18", 10), 128).run(pictures(1, 32), [Options(method="scorecam", top_k=1)])
    np.testing.assert_allclose(numbers(outcome)[1], numbers(expected)[1], rtol=0, atol=1e-5)
    assert module.batches == [1, 512, 1, 256, 1, *[128] * 4]
    module.batches.clear()
    explained(engine.run(pictures(1, 32), [Options(method="scorecam", top_k=1)])[0])
    assert module.batches == [1, *[128] * 4]  # what was learnt holds for the next one, and for no other method
    assert engine.max_batch_size == 512


def test_a_scorecam_that_fits_in_no_memory_fails_alone():
    """It ends when one masked picture is too much; a lack of memory of other methods asks for no second try."""
    net, module = picky(MemoryError, limit=0)
    for method, forwards in (("scorecam", 3), ("cam", 1)):
        module.batches.clear()
        [outcome] = Engine(net, 4).run(pictures(1, 32), [Options(method=method, top_k=1)])  # type: ignore[arg-type]
        assert isinstance(outcome, ImageError)
        assert len(module.batches) == forwards


def test_scorecam_beats_before_each_masked_forward():
    """Whoever watches the engine knows that it lives; what the beat raises ends that picture and no other."""
    net = network("resnet18", 10)
    engine = Engine(net, 128)
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) > 4:
            raise TimeoutError("enough")

    engine.on_step = beat
    wishes = [Options(method="scorecam", top_k=1)]
    explained(engine.run(pictures(1, 32), wishes)[0])
    assert len(beats) == 4
    stopped, other = engine.run(pictures(2, 32), [*wishes, Options()])
    assert isinstance(stopped, ImageError)
    assert "enough" in stopped.message
    explained(other)
    assert len(beats) <= 6
