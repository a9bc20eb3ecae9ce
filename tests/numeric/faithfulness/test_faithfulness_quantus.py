"""Quantus' numbers for the same maps, pictures and network.

It is no dependency: it brings opencv-python, which overwrites the opencv-python-headless of pytorch-grad-cam. These
tests run where it lies beside the rest: `uv pip install --target FOLDER --no-deps quantus==0.6.0 cachetools`, and then
`PYTHONPATH=FOLDER`.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shared.contract import Options
from tests.numeric.networks import CPU, network, tiny
from worker.core.engine.randomised import cascade
from worker.core.faithfulness.perturbation import ranked, replaced
from worker.core.faithfulness.places import points_at
from worker.core.faithfulness.scores import entropy, gini, rank_correlation
from worker.core.maps.explain import no_step
from worker.core.types import Explanation, Geometry

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


def cam(model: nn.Sequential, inputs: Any, targets: Any, **_: object) -> Any:
    """The maps of a network of features, pool, and one linear layer."""
    with torch.inference_mode():
        activations = model[0](torch.as_tensor(inputs))
        weights = model[3].weight[torch.as_tensor(targets)]
        maps = torch.einsum("nk,nkhw->nhw", weights, activations)[:, None].numpy()
    # It wants them as wide as the pictures; cells that are repeated alike have the same correlation.
    return maps.repeat(7, axis=2).repeat(7, axis=3)


def test_the_randomisation_test() -> None:
    """Its cascade has the same layers in the same order. It draws from their initialisation, so its networks are taken:
    the correlations of their maps are the same."""
    net = tiny()
    module: Any = net.module
    pictures = torch.randn(COUNT, 3, 63, 63, generator=torch.Generator().manual_seed(0))  # maps of 9 x 9 cells
    theirs = quantus.MPRT(normalise=False, abs=False, **QUIET)(
        model=module,
        x_batch=pictures.numpy(),
        y_batch=np.full(COUNT, CLASS),
        a_batch=None,
        explain_func=cam,
        device="cpu",
    )
    real = cam(module, pictures, [CLASS] * COUNT)
    networks = quantus.helpers.model.pytorch_model.PyTorchModel(module, device=CPU)
    ours = {
        name: [rank_correlation(a[0], b[0]) for a, b in zip(real, cam(random, pictures, [CLASS] * COUNT), strict=True)]
        for name, random in networks.get_random_layer_generator(order="top_down", seed=42)
    }
    found = cascade(net, pictures[:1], ("cam",), Options(classes=(CLASS,)), no_step)

    assert isinstance(found, Explanation)
    assert found.randomised[0].maps[0] == pytest.approx(real[0, 0, ::7, ::7], abs=1e-5)
    assert [stage.layer for stage in found.randomised[1:]] == list(ours)
    for name, correlations in ours.items():
        assert theirs[name] == pytest.approx(correlations, abs=1e-5)
