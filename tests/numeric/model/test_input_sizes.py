"""The sides that a network's input may have: what it refuses instead of failing in one of its layers."""

from contextlib import suppress

import pytest
import torch

from shared.contract import LARGEST_INPUT, SMALLEST_INPUT, Options
from shared.errors import ImageError, UsageError
from tests.numeric.networks import network, pictures, random_module
from worker.core.engine.engine import Engine
from worker.core.model import architectures
from worker.core.model.structure import UnqualifiedError, find_structure


@pytest.mark.parametrize(("name", "smallest"), [("alexnet", 63), ("inception_v3", 75), ("googlenet", 32)])
def test_an_input_that_its_layers_would_shrink_to_nothing_is_refused(name: str, smallest: int):
    """What is the smallest is what torch says: on its meta device shapes are computed, and nothing else."""

    def runs(size: int) -> bool:
        try:
            module(torch.empty(1, 3, size, size, device="meta"))
        except RuntimeError:
            return False
        return True

    module = random_module(name, 10).eval().to("meta")
    low, high = architectures.input_sizes(name, 224)
    assert (low, runs(low), high) == (smallest, True, LARGEST_INPUT)
    assert low == SMALLEST_INPUT or not runs(low - 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [each for each in architectures.NAMES if not each.startswith(("vit_", "maxvit_"))])
def test_every_network_that_has_no_fixed_size_takes_its_smallest(name: str):
    """As a worker runs it: its traced graph where it has one, and shapes alone."""
    with torch.device("cpu" if name.startswith("regnet_") else "meta"):  # RegNets compute their widths with torch
        module = architectures.construct(name).eval().to("meta")
    with suppress(UnqualifiedError):
        module = find_structure(module).graph
    low, _ = architectures.input_sizes(name, 224)
    assert module(torch.empty(1, 3, low, low, device="meta")) is not None


@pytest.mark.slow
def test_a_picture_below_the_smallest_input_fails_by_name():
    """A job of a producer that does not know the sizes: an error of the picture's, not of a layer's."""
    outcome = Engine(network("alexnet", 10), 1).run(pictures(1, 62), [Options(method="gradcam", input_size=62)])[0]
    assert isinstance(outcome, ImageError)
    assert (outcome.code, outcome.message) == ("inference", "alexnet takes pictures of 63 to 4096 pixels, not 62")


@pytest.mark.slow
def test_a_transformer_of_fixed_size_refuses_another():
    """Its positions are counted in its weights."""
    with pytest.raises(UsageError, match="vit_b_32 takes pictures of 224 pixels only, not 448"):
        network("vit_b_32", 10).check(Options(method="gradcam", input_size=448))
