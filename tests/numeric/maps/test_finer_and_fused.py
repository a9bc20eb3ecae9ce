"""Finer-CAM, and LayerCAM of several layers, against their formulas."""

import math
from dataclasses import replace

import pytest
import torch

from tests.numeric.evidences import CLASSES, HEADS, TARGETS, C, N, seen
from worker.core.maps.evidence import Target
from worker.core.maps.methods import METHODS
from worker.core.maps.methods.finercam import GAMMA, rivals
from worker.core.maps.methods.layercam import fused
from worker.core.model.head import Head, LinearHead


@HEADS
@TARGETS
def test_finercam_is_the_cam_less_that_of_the_nearest_classes(kind: type[Head], target: Target):
    """The three whose logits are nearest, found here one by one; gamma is 0.6."""
    e = seen(kind, target)
    cams = METHODS["cam"](replace(e, classes=torch.arange(C).expand(N, C)))
    found = METHODS["finercam"](e)
    for image in range(N):
        for place, c in enumerate(CLASSES[image].tolist()):
            others = sorted(set(range(C)) - {c}, key=lambda d: abs(float(e.logits[image, d] - e.logits[image, c])))
            expected = cams[image, c] - 0.6 * sum(cams[image, d] for d in others[:3]) / 3
            torch.testing.assert_close(found[image, place], expected, rtol=1e-12, atol=1e-12)


def test_a_finercams_mean_is_what_the_logit_has_beyond_its_rivals():
    """The identity of the CAM, for the difference: y_c - b_c - gamma mean (y_d - b_d)."""
    e = seen(LinearHead, "logit")
    others = rivals(e.logits, e.classes)
    inside = e.logits - e.head.outside
    theirs = inside[:, None].expand(-1, 2, -1).gather(2, others).mean(2)
    torch.testing.assert_close(METHODS["finercam"](e).mean((2, 3)), inside.gather(1, e.classes) - GAMMA * theirs)


def test_rivals_are_nearest_first_and_of_equal_ones_the_first():
    """Whether they are more probable or less, and never the class itself; few classes have few."""
    logits = torch.tensor([[3.0, 1.0, 2.0, 2.0, 9.0]])
    assert rivals(logits, torch.tensor([[0, 1]])).tolist() == [[[2, 3, 1], [2, 3, 0]]]
    assert rivals(logits[:, :2], torch.tensor([[0]])).tolist() == [[[1]]]
    assert rivals(logits[:, :1], torch.tensor([[0]])).shape == (1, 1, 0)


def test_rivals_are_those_of_a_stable_sort():
    """Also where many logits are equal."""
    generator = torch.Generator().manual_seed(0)
    for count in (2, 3, 4, 50):
        logits = torch.randint(0, 8, (20, count), generator=generator).double()
        classes = torch.rand(20, count, generator=generator).argsort(dim=1)[:, :5]
        distances = (logits[:, None] - logits.gather(1, classes)[..., None]).abs().scatter(2, classes[..., None], 99)
        expected = distances.sort(dim=2, stable=True).indices[..., : min(3, count - 1)]
        assert torch.equal(rivals(logits, classes), expected)


def test_a_class_without_rivals_has_its_cam():
    """A network of one output."""
    e = seen(LinearHead, "logit")
    lone = LinearHead(e.head.weight[:1], e.head.bias[:1])
    e = replace(e, head=lone, logits=lone.logits(e.activations), classes=torch.zeros(N, 1, dtype=torch.int64))
    assert torch.equal(METHODS["finercam"](e), METHODS["cam"](e))


def test_maps_of_several_layers_are_fused_where_each_is_hottest():
    """By hand: each by its own maximum and lifted, the smaller one stretched, then the greater of both; none divides by
    nothing."""
    fine = torch.zeros(1, 1, 4, 4)
    fine[0, 0, 0, 0], fine[0, 0, 3, 3] = 0.02, 0.01
    coarse = torch.tensor([[5.0, 0.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    found = fused([fine, coarse, torch.zeros(1, 1, 2, 2)])[0, 0]

    def lifted(share: float) -> float:
        return math.tanh(2 * share)

    assert found.shape == (4, 4)
    assert found[0, 0] == pytest.approx(lifted(1.0))
    assert found[3, 3] == pytest.approx(lifted(0.5))
    assert found[0, 1] == pytest.approx(0.75 * lifted(1.0))  # stretched bilinearly: a quarter of the way to the next
    assert found[0, 3] == 0
    assert torch.equal(fused([torch.zeros(1, 1, 2, 2)] * 2), torch.zeros(1, 1, 2, 2))


def test_a_fused_map_does_not_hide_what_is_not_a_number():
    """Else the check that every map is finite would not see it."""
    broken = torch.ones(1, 1, 2, 2)
    broken[0, 0, 1, 1] = math.nan
    assert fused([torch.ones(1, 1, 4, 4), broken]).isnan().any()
