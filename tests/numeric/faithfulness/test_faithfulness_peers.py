"""The peers' numbers for the same maps, pictures and network: pytorch-grad-cam and torchcam (docs/methods.md)."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_grad_cam.metrics import road
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor, nn
from torchcam.metrics import ClassificationMetric

from tests.numeric.networks import network
from worker.core.faithfulness.perturbation import masked, ranked, without
from worker.core.faithfulness.scores import PERCENTILES, drop
from worker.core.types import FloatArray

SIDE, CLASS, COUNT = 65, 3, 4
NET = network("resnet18", 10)


@pytest.fixture(scope="module")
def pictures() -> FloatArray:
    """Normalised noise (N, S, S, 3), in which no two pixels are alike."""
    return np.random.default_rng(0).normal(size=(COUNT, SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def heats() -> FloatArray:
    """Smooth maps from 0 to 1, (N, S, S), without equal pixels, also once they are turned round in float32."""
    rough = np.random.default_rng(1).random((COUNT, 1, 5, 5)).astype(np.float32)
    fine = nn.functional.interpolate(torch.from_numpy(rough), (SIDE, SIDE), mode="bilinear")[:, 0].numpy()
    places = fine.reshape(COUNT, -1).argsort(axis=1).argsort(axis=1)
    return (places / (SIDE * SIDE - 1)).reshape(fine.shape).astype(np.float32)  # type: ignore[no-any-return]


def tensors(pictures: Sequence[FloatArray] | FloatArray) -> Tensor:
    return torch.from_numpy(np.stack(pictures).astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def probability(pictures: Sequence[FloatArray] | FloatArray) -> NDArray[np.float64]:
    with torch.inference_mode():
        shares = NET.module(tensors(pictures)).double().softmax(1)[:, CLASS]
    return shares.numpy()  # type: ignore[no-any-return]


def masked_shares(pictures: FloatArray, heats: FloatArray) -> NDArray[np.float64]:
    """In the network's own space, in which its mean is 0."""
    nothing = np.zeros(3, np.float32)
    return probability([masked(*each, nothing) for each in zip(pictures, heats, strict=True)])


TARGETS = [ClassifierOutputSoftmaxTarget(CLASS)] * COUNT


def test_the_fall_under_a_mask_is_pytorch_grad_cams(pictures: FloatArray, heats: FloatArray) -> None:
    """Its is the difference of the probabilities; ours, as in the paper, is a share of the whole one."""
    peer = DropInConfidence()(tensors(pictures), heats, TARGETS, NET.module)
    rises = IncreaseInConfidence()(tensors(pictures), heats, TARGETS, NET.module)

    whole, kept = probability(pictures), masked_shares(pictures, heats)
    ours = [drop(w, k) * w for w, k in zip(whole, kept, strict=True)]
    assert ours == pytest.approx(peer.tolist(), abs=1e-5)
    assert (kept > whole).tolist() == (rises == 1).tolist()


class Given:
    """What torchcam's metric asks of an extractor: here, maps that are there already."""

    def __init__(self, heats: FloatArray) -> None:
        self.model = NET.module
        self._heats = torch.from_numpy(heats)

    def __call__(self, *_arguments: object, **_options: object) -> list[Tensor]:
        return [self._heats]

    def fuse_cams(self, cams: list[Tensor]) -> Tensor:
        return cams[0]

    def _hooks_off(self) -> object:
        return torch.inference_mode()


def test_average_drop_and_increase_are_torchcams(pictures: FloatArray, heats: FloatArray) -> None:
    """It too takes the share; its mask is the map at the size of the picture."""
    metric = ClassificationMetric(Given(heats), lambda logits: logits.softmax(1))
    metric.update(tensors(pictures), CLASS)
    peer = metric.summary()

    whole, kept = probability(pictures), masked_shares(pictures, heats)
    ours = [drop(w, k) for w, k in zip(whole, kept, strict=True)]
    assert np.mean(ours) == pytest.approx(peer["avg_drop"], abs=1e-5)
    assert np.mean(kept > whole) == pytest.approx(peer["conf_increase"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("peer", "front"),
    [
        (road.ROADMostRelevantFirst, lambda order: order),
        (road.ROADLeastRelevantFirst, lambda order: order[::-1]),
    ],
)
def test_road_is_pytorch_grad_cams(
    pictures: FloatArray,
    heats: FloatArray,
    monkeypatch: pytest.MonkeyPatch,
    peer: type,
    front: Callable[[NDArray[np.int64]], NDArray[np.int64]],
) -> None:
    """Without the noise, which both draw at random: the imputed pictures, and the probabilities in them."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    none = np.zeros(3, np.float32)
    ours = np.array(
        [
            list(without(picture, front(ranked(heat)), PERCENTILES, none))
            for picture, heat in zip(pictures, heats, strict=True)
        ]
    )

    whole = probability(pictures)
    for place, percentile in enumerate(PERCENTILES):
        falls, theirs = peer(percentile)(tensors(pictures), heats, TARGETS, NET.module, return_visualization=True)
        assert np.abs(ours[:, place] - theirs.permute(0, 2, 3, 1).numpy()).max() < 1e-5
        assert probability(ours[:, place]) - whole == pytest.approx(falls, abs=1e-5)


@pytest.mark.slow
def test_road_combined_is_pytorch_grad_cams(
    pictures: FloatArray, heats: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what is left without the least relevant pixels beyond what is left without the most relevant ones."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    theirs = road.ROADCombined(list(PERCENTILES))(tensors(pictures), heats, TARGETS, NET.module)

    none = np.zeros(3, np.float32)
    for picture, heat, expected in zip(pictures, heats, theirs, strict=True):
        order = ranked(heat)
        morf, lerf = (probability(list(without(picture, o, PERCENTILES, none))).mean() for o in (order, order[::-1]))
        assert (lerf - morf) / 2 == pytest.approx(expected, abs=1e-5)


def test_where_a_relu_cut_off_half_of_the_map_the_peer_removes_more_than_it_was_asked_for() -> None:
    """It removes all that is at least as hot as the percentile, which is then 0: every pixel, and no equation is left
    to say what they were. Ours removes as many as asked for, the equal ones at random."""
    heat = np.clip(np.linspace(-1, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE), 0, None)
    threshold = np.percentile(heat, 20)
    assert np.float32(heat < threshold).sum() == 0

    (picture,) = without(np.ones((SIDE, SIDE, 3), np.float32), ranked(heat), (20,), np.ones(3, np.float32))
    assert (picture == 1).all(2).sum() == np.ceil((SIDE * SIDE - 1) * 0.2)
