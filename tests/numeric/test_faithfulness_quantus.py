"""Quantus' numbers for the same maps, pictures and network.

It is no dependency: it brings opencv-python, which overwrites the opencv-python-headless of pytorch-grad-cam. Before
this runs: `uv pip install --no-deps quantus==0.6.0 cachetools`.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.numeric.networks import network
from worker.core.faithfulness.perturbation import ranked, replaced
from worker.core.faithfulness.places import points_at
from worker.core.faithfulness.scores import entropy, gini
from worker.core.types import Geometry

quantus = pytest.importorskip("quantus", reason="Quantus is installed by hand")

SIDE, CLASS, COUNT, STEPS = 64, 3, 3, 16
MAPS = np.random.default_rng(0).random((COUNT, SIDE, SIDE)).astype(np.float32)
QUIET: dict[str, Any] = {"disable_warnings": True}


class Grey(nn.Module):
    """One channel, since Quantus ranks the values of channels and not pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = network("resnet18", 10).module

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.colour(pictures.expand(-1, 3, -1, -1))
        return found


GREY = Grey().eval()
PICTURES = np.random.default_rng(1).normal(size=(COUNT, 1, SIDE, SIDE)).astype(np.float32)


def asked(metric: Any, **more: Any) -> list[Any]:
    found: list[Any] = metric(
        model=GREY, x_batch=PICTURES, y_batch=np.full(COUNT, CLASS), a_batch=MAPS[:, None], device="cpu", **more
    )
    return found


def test_sparsity_and_complexity() -> None:
    """Gini index, and entropy in nats; it computes in float32."""
    assert asked(quantus.Sparseness(**QUIET)) == pytest.approx([gini(each) for each in MAPS], abs=1e-5)
    assert asked(quantus.Complexity(**QUIET)) == pytest.approx([entropy(each) for each in MAPS], abs=1e-5)


def test_the_pointing_game() -> None:
    """Without a tolerance, which it does not know."""
    boxes = [(10, 10, 40, 30), (0, 32, 64, 64)]
    whole = Geometry(SIDE, SIDE, (0.0, 0.0, float(SIDE), float(SIDE)))
    masks = np.zeros((COUNT, 1, SIDE, SIDE), np.bool_)
    for x0, y0, x1, y1 in boxes:
        masks[:, :, y0:y1, x0:x1] = True

    theirs = asked(quantus.PointingGame(**QUIET), s_batch=masks)
    assert [points_at(each, whole, boxes, 0) for each in MAPS] == [bool(each) for each in theirs]


def test_the_curve_of_a_deletion() -> None:
    """Its pixel flipping to the darkest value, in steps of the same size."""
    metric = quantus.PixelFlipping(
        features_in_step=SIDE * SIDE // STEPS, perturb_baseline="black", normalise=False, abs=False, **QUIET
    )
    theirs = asked(metric, softmax=True)

    for picture, heat, curve in zip(PICTURES.transpose(0, 2, 3, 1), MAPS, theirs, strict=True):
        changed = replaced(picture, np.full_like(picture, picture.min()), ranked(heat), STEPS)
        with torch.inference_mode():
            logits = GREY(torch.from_numpy(np.stack(list(changed)).transpose(0, 3, 1, 2).copy()))
        assert logits.softmax(1)[:, CLASS].tolist() == pytest.approx(list(curve), abs=1e-5)
