"""The peers: torchcam and pytorch-grad-cam on the same network and pictures (numbers in docs/methods.md).

Where they agree, to the tolerance measured; where they do not, the difference is reproduced and named.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam as pgc
import torch
import torchcam.methods as tc
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.nn import functional as F

from tests.numeric.networks import architecture, evidence, inputs, load, network
from tests.numeric.peers import PICKED, gradients, peer_of, pgc_finish, tc_finish
from worker.core.maps.evidence import Evidence
from worker.core.maps.methods import METHODS
from worker.core.maps.methods.scorecam import stretched
from worker.core.model.network import Network

# Name, seed, side of the input: odd sides make maps whose edges do not fall on the grid's.
CASES = [
    ("resnet18", 0, 224),
    ("resnet18", 1, 97),
    ("mobilenet_v2", 0, 129),
    ("regnet_y_400mf", 0, 129),
]
OURS_TO_PGC = {"gradcam": pgc.GradCAM, "hirescam": pgc.HiResCAM, "xgradcam": pgc.XGradCAM, "layercam": pgc.LayerCAM}
OURS_TO_TC = {"cam": tc.CAM, "gradcam": tc.GradCAM, "xgradcam": tc.XGradCAM, "layercam": tc.LayerCAM}


def from_pgc(method: type, net: Network, x: Tensor) -> np.ndarray:
    peer = peer_of(net)
    with method(model=peer, target_layers=[peer.get_submodule(net.target_layer)]) as extractor:
        found: np.ndarray = extractor(x.clone(), targets=[ClassifierOutputTarget(PICKED)] * len(x))
    return found


def from_tc(method: type, net: Network, x: Tensor, *, normalized: bool = True, **options: Any) -> Tensor:
    peer = peer_of(net)
    fc = {"fc_layer": next(n for n, m in peer.named_modules() if isinstance(m, nn.Linear) and m.out_features == 10)}
    with method(peer, target_layer=net.target_layer, **(fc if method is tc.CAM else {}), **options) as extractor:
        scores = peer(x)
        return extractor([PICKED] * len(x), scores, normalized=normalized)[0].detach()


def rounding(method: str, net: Network, e: Evidence) -> float:
    """What float32 leaves of a map stretched to 0..1.

    2e-6 on ResNet18. The other networks are kept for their structure: with random weights their maps have so
    little contrast that stretching magnifies the rounding of the peer by how much larger the summands are.
    """
    if net.name == "resnet18":
        return 2e-6
    maps = METHODS[method](e)[:, 0]
    terms = torch.einsum("k,nkhw->nhw", e.head.weight[PICKED].abs(), e.activations.abs()).amax((1, 2))
    if method != "cam":
        maps, terms = maps.relu(), terms / e.positions
    span = maps.amax((1, 2)) - maps.amin((1, 2))
    return 1e-6 * max(2.0, float((terms / span).max()))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def case(request: pytest.FixtureRequest) -> Iterator[tuple[Network, Tensor, Evidence]]:
    """A network, pictures, and what our methods see of them."""
    name, seed, size = request.param
    # Without folding, so that both sides see the same activations and only the formulas are compared;
    # `test_folding_changes_nothing_but_the_speed` holds the rest.
    net = network(name, 10, seed)
    net, x = replace(net, graph=None, hookable=net.module), inputs(2, size, seed)
    with torch.inference_mode():
        e = evidence(net, x, [PICKED])
        yield net, x, Evidence(e.head, e.activations.clone(), e.logits, e.classes, "logit", x, e.classify, 32)


@pytest.mark.parametrize("method", OURS_TO_PGC)
def test_final_maps_are_those_of_pytorch_grad_cam(method: str, case: tuple[Network, Tensor, Evidence]):
    """Ours, put through its two normalisations and its resizing."""
    net, x, e = case
    ours = pgc_finish(METHODS[method](e)[:, 0], x.shape[-1])
    with gradients():
        theirs = from_pgc(OURS_TO_PGC[method], net, x)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=rounding(method, net, e))


@pytest.mark.parametrize("method", OURS_TO_TC)
def test_maps_are_those_of_torchcam(method: str, case: tuple[Network, Tensor, Evidence]):
    """At the map's own size, after its normalisation; its CAM is signed as ours is."""
    net, x, e = case
    ours = tc_finish(METHODS[method](e)[:, 0])
    with gradients():
        theirs = from_tc(OURS_TO_TC[method], net, x)
    assert (ours - theirs).abs().max() < rounding(method, net, e)


def test_pytorch_grad_cams_plus_plus_is_the_papers_but_for_its_epsilon(case: tuple[Network, Tensor, Evidence]):
    """Its 1e-6 stands beside g², which is of that size: with it our formula meets its map, without we are far."""
    net, x, e = case
    g = e.head.weight[PICKED] / e.positions
    sums = e.activations.sum((2, 3))
    alpha = g**2 / (2 * g**2 + sums * g**3 + 1e-6)
    theirs_by_formula = torch.einsum("nk,nkhw->nhw", e.positions * g.relu() * alpha, e.activations)
    with gradients():
        theirs = from_pgc(pgc.GradCAMPlusPlus, net, x)
    tolerance = rounding("layercam", net, e)
    np.testing.assert_allclose(pgc_finish(theirs_by_formula, x.shape[-1]), theirs, rtol=0, atol=tolerance)
    ours = pgc_finish(METHODS["gradcam++"](e)[:, 0], x.shape[-1])
    assert np.abs(ours - theirs).max() > 0.003 + tolerance


def test_torchcams_plus_plus_loses_its_division(case: tuple[Network, Tensor, Evidence]):
    """`alpha[idx][mask].div_(…)` divides a copy, so its weights are HW · relu(g)³; divided they would be ours."""
    net, x, e = case
    g = e.head.weight[PICKED].relu() / e.positions
    shipped = torch.einsum("k,nkhw->nhw", e.positions * g**3, e.activations).relu()
    with gradients():
        theirs = from_tc(tc.GradCAMpp, net, x, normalized=False)
    assert (shipped - theirs).abs().max() < 3e-6 * theirs.max()
    ours = METHODS["gradcam++"](e)[:, 0]
    assert (tc_finish(ours) - tc_finish(theirs)).abs().max() > 0.02


def test_eigencam_is_pytorch_grad_cams_up_to_its_arbitrary_sign(case: tuple[Network, Tensor, Evidence]):
    """Its raw projection, before the ReLU that cuts away whichever lobe the sign made negative."""
    _, _, e = case
    ours = METHODS["eigencam"](e)[:, 0].numpy()
    with gradients():
        theirs = np.stack([pgc.utils.svd_on_activations.get_2d_projection(a[None].numpy())[0] for a in e.activations])
    sign = np.sign((ours * theirs).sum((1, 2)))[:, None, None]
    np.testing.assert_allclose(sign * theirs, ours, rtol=0, atol=2e-5 * np.abs(ours).max())


def small_network(classes: int, seed: int) -> nn.Module:
    """64 channels of 7x7 from 61 pixels, so that a forward per channel is quick; not as published anywhere."""
    torch.manual_seed(seed)
    features = nn.Sequential(nn.Conv2d(3, 32, 7, 4), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU())
    nn.init.uniform_(features[1].running_mean, -0.2, 0.2)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def forwards_case(seed: int) -> tuple[Network, Tensor, Evidence]:
    """For the methods that take the peers a forward per channel."""
    with architecture(partial(small_network, seed=seed)):
        net = load(small_network(10, seed), "resnet18")
    net, x = replace(net, graph=None, hookable=net.module), inputs(2, 61, seed)
    return net, x, evidence(net, x, [PICKED])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ablationcam_is_pytorch_grad_cams_without_its_forwards(seed: int):
    """pytorch-grad-cam runs a forward per channel; ours reads the drops from the head.

    It subtracts its scores in float32, also when its forwards run in float64. Their rounding (6e-8 of the score) is
    1e-6 of the drops with 64 channels (5e-7 to 9e-7 measured).
    """
    net, x, e = forwards_case(seed)
    ours = pgc_finish(METHODS["ablationcam"](e)[:, 0], x.shape[-1])
    peer = peer_of(net).double()
    with pgc.AblationCAM(model=peer, target_layers=[peer.get_submodule(net.target_layer)], batch_size=64) as extractor:
        theirs = extractor(x.double(), targets=[ClassifierOutputTarget(PICKED)] * 2)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


def scorecam_with(masks: Tensor, net: Network, x: Tensor, e: Evidence) -> Tensor:
    """Score-CAM's definition for the first picture, on these masks (K, 1, S, S): (1, h, w)."""
    scores = torch.cat([net.classify(x[:1] * each) for each in masks.split(32)])[:, PICKED]
    return torch.einsum("k,nkhw->nhw", scores.double().softmax(0), e.activations[:1]).relu()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scorecam_is_the_peers_but_for_how_they_make_the_mask(seed: int):
    """torchcam stretches the small map and then resizes; we, like the paper's code, resize and then stretch.

    pytorch-grad-cam resizes with aligned corners: the edges of its mask are the centres of the outer cells. On either's
    masks the definition meets its map (2e-7 to 4e-7 measured); on ours it is our method, and near enough to both.
    """
    net, x, e = forwards_case(seed)
    size = x.shape[2:]
    small = e.activations[0].float()[:, None]
    ours = METHODS["scorecam"](e)[:1, 0]
    masks = stretched(F.interpolate(small, size, mode="bilinear", align_corners=False))
    torch.testing.assert_close(scorecam_with(masks, net, x, e), ours, rtol=1e-6, atol=1e-9)

    masks = F.interpolate(stretched(small), size, mode="bilinear", align_corners=False)
    theirs = from_tc(tc.ScoreCAM, net, x[:1], batch_size=128)
    assert (tc_finish(scorecam_with(masks, net, x, e)) - theirs).abs().max() < 1e-6
    assert 1e-5 < (tc_finish(ours.clone()) - theirs).abs().max() < 1e-3

    masks = stretched(F.interpolate(small, size, mode="bilinear", align_corners=True))
    with gradients():
        aligned = from_pgc(pgc.ScoreCAM, net, x[:1])
    assert np.abs(pgc_finish(scorecam_with(masks, net, x, e), size[0]) - aligned).max() < 1e-6
    assert 1e-4 < np.abs(pgc_finish(ours.clone(), size[0]) - aligned).max() < 1e-2

    # How far a method is that weighs all channels alike: the tolerances above tell it apart.
    alike = pgc_finish(e.activations[:1].mean(1), size[0])
    assert np.abs(alike - aligned).max() > 1e-4
