"""The peers on Finer-CAM, on LayerCAM of several layers, and on maps averaged over flips (docs/methods.md)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import pytorch_grad_cam as pgc
import torch
import torchcam.methods as tc
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor

from shared.contract import Options
from tests.numeric.networks import evidence, explained, inputs, network, pictures, same
from tests.numeric.peers import PICKED, gradients, peer_of, pgc_finish, pgc_scaled, pgc_stretched, tc_finish
from worker.core.engine.engine import Engine
from worker.core.maps.explain import explain
from worker.core.maps.methods.finercam import GAMMA, rivals
from worker.core.model.network import Network

LAYERS = ("layer2", "layer3", "layer4")
SIZES = pytest.mark.parametrize(("seed", "size"), [(0, 224), (1, 97)])


def ours(net: Network, x: Tensor, **options: object) -> Tensor:
    """The raw maps of the class that the peers are asked for: (N, h, w)."""
    wish = Options(classes=(PICKED,), **options)  # type: ignore[arg-type]
    return torch.from_numpy(np.stack([explained(each)[0].values for each in explain(net, x, [wish] * len(x), 8)]))


@SIZES
def test_finercam_is_torchcams(seed: int, size: int):
    """It takes Grad-CAM of the same difference of logits, and cuts off what is negative: ours is signed."""
    net, x = network("resnet18", 10, seed), inputs(2, size, seed)
    found = ours(net, x, method="finercam")
    assert found.min() < 0
    peer = peer_of(net)
    with gradients(), tc.FinerCAM(peer, net.target_layer, gamma=GAMMA) as extractor:
        theirs = extractor([PICKED] * 2, peer(x))[0].detach()
    assert (tc_finish(found.relu()) - theirs).abs().max() < 2e-6


@SIZES
def test_pytorch_grad_cams_finercam_differentiates_its_weights_too(seed: int, size: int):
    """It weighs its rivals by their probabilities and backpropagates through those, which the paper's target does not.

    With the derivative of its target in the place of ours the closed form meets its map; with its weights held still it
    does not.
    """
    net, x = network("resnet18", 10, seed), inputs(2, size, seed)
    e = evidence(net, x, [PICKED])
    every = e.head.maps(e.activations, torch.arange(10).expand(2, -1))
    logits = e.logits.clone().requires_grad_()
    chosen = rivals(e.logits, e.classes)[:, 0]

    shares = logits.softmax(1).gather(1, chosen)
    weights = shares / (shares.sum(1, keepdim=True) + 1e-9)

    def by(weights: Tensor) -> np.ndarray:
        differences = logits[:, [PICKED]] - logits.gather(1, chosen)
        (slopes,) = torch.autograd.grad((weights * differences).sum(), logits, retain_graph=True)
        return pgc_finish(torch.einsum("nc,nchw->nhw", slopes, every).float(), size)

    peer = peer_of(net)
    with gradients(), pgc.FinerCAM(peer, [peer.get_submodule(net.target_layer)]) as extractor:
        theirs = extractor(x.clone(), alpha=1, target_idx=PICKED)
    np.testing.assert_allclose(by(weights), theirs, rtol=0, atol=5e-6)
    assert np.abs(by(weights.detach()) - theirs).max() > 1e-3


def test_finercam_by_autograd_is_the_closed_form():
    """Where a network has no closed form the gradient of the same difference is taken: divided by the positions."""
    net, x = network("resnet18", 10), inputs(2, 96)
    for target in ("logit", "softmax"):
        closed = ours(net, x, method="finercam", target=target)
        taped = ours(without_head(net), x, method="finercam", target=target)
        torch.testing.assert_close(taped * 9, closed, rtol=0, atol=1e-5 * float(closed.abs().max()))


def test_layercam_by_autograd_is_the_closed_form():
    """On the pool's input."""
    net, x = network("resnet18", 10), inputs(2, 96)
    closed, taped = (ours(each, x, method="layercam") for each in (net, without_head(net)))
    torch.testing.assert_close(taped, closed, rtol=0, atol=1e-5 * float(closed.max()))


def without_head(net: Network) -> Network:
    """As a network whose maps have no closed form."""
    return replace(net, head=None, graph=None, hookable=net.module)


@pytest.mark.parametrize(
    ("name", "seed", "size"),
    [("resnet18", 1, 97), *(pytest.param(name, 0, 224, marks=pytest.mark.slow) for name in ("resnet18", "vgg11"))],
)
def test_layercam_of_several_layers_is_torchcams(name: str, seed: int, size: int):
    """Its maps of each layer, and its fusion of them; it subtracts each map's least value, we only divide by the
    greatest, as the paper does. The map is as fine as the first layer's."""
    net, x = network(name, 10, seed), inputs(2, size, seed)
    layers = LAYERS if name == "resnet18" else ("features.7", "features.12", "features.19")
    found = ours(net, x, method="layercam", target_layer=",".join(layers))
    peer = peer_of(net)
    with gradients(), tc.LayerCAM(peer, list(layers)) as extractor:
        maps = [each.detach() for each in extractor([PICKED] * 2, peer(x), normalized=False)]
        theirs = tc.LayerCAM.fuse_cams([each / each.amax((1, 2), keepdim=True) for each in maps])
    assert found.shape == theirs.shape == maps[0].shape
    assert (found - theirs).abs().max() < 5e-6
    for layer, alone in zip(layers, maps, strict=True):
        single = ours(net, x, method="layercam", target_layer=layer)
        assert (single - alone).abs().max() < 5e-6 * alone.max()


def test_pytorch_grad_cam_takes_the_mean_of_its_layers():
    """Of each layer's map, stretched to 0..1 at the picture's size; so a peak of one layer counts a third."""
    net, x = network("resnet18", 10), inputs(2, 224)
    single = [pgc_scaled(ours(net, x, method="layercam", target_layer=layer), 224) for layer in LAYERS]
    mean = pgc_stretched(torch.stack(single).mean(dim=0)).numpy()
    peer = peer_of(net)
    with (
        gradients(),
        pgc.LayerCAM(peer, [peer.get_submodule(layer) for layer in LAYERS]) as extractor,
    ):
        theirs = extractor(x.clone(), targets=[ClassifierOutputTarget(PICKED)] * 2)
    np.testing.assert_allclose(mean, theirs, rtol=0, atol=1e-5)
    fused = pgc_finish(ours(net, x, method="layercam", target_layer=",".join(LAYERS)), 224)
    assert np.abs(fused - theirs).max() > 0.05


def test_pytorch_grad_cam_smooths_over_flips_and_brightness():
    """Its `aug_smooth` is the mean of six maps, each stretched to 0..1: with and without a flip, times 0.9, 1 and 1.1.
    camq averages the two raw maps of the flip alone, so that the mean of the map still adds up to a logit."""
    net, x = network("resnet18", 10), inputs(2, 97)

    def turned(brightness: float, turn: Callable[[Tensor], Tensor]) -> np.ndarray:
        return pgc_finish(ours(net, turn(x) * brightness, method="gradcam"), 97)

    plain = [turned(brightness, lambda t: t) for brightness in (0.9, 1.0, 1.1)]
    flipped = [turned(brightness, lambda t: t.flip(3))[..., ::-1] for brightness in (0.9, 1.0, 1.1)]
    peer = peer_of(net)
    with gradients(), pgc.GradCAM(peer, [peer.get_submodule(net.target_layer)]) as extractor:
        theirs = extractor(x.clone(), targets=[ClassifierOutputTarget(PICKED)] * 2, aug_smooth=True)
    np.testing.assert_allclose(np.mean([*plain, *flipped], axis=0), theirs, rtol=0, atol=5e-6)


def test_maps_of_several_layers_do_not_depend_on_the_batch():
    """One picture, or seven with others that ask for other layers and classes between them."""
    net = network("resnet18", 10)
    batch = pictures(7)
    wishes = [
        Options(method="layercam", target_layer=",".join(LAYERS), top_k=3),
        Options(method="layercam", target_layer="layer3", target="softmax"),
        Options(method="finercam", classes=(7, 2)),
    ] * 3
    together = Engine(net, 8).run(batch, wishes[:7])
    alone = [Engine(net, 1).run([picture], [wish])[0] for picture, wish in zip(batch, wishes, strict=False)]
    same(together, alone)
    assert [explained(each)[0].values.shape for each in together[:3]] == [(8, 8), (4, 4), (2, 2)]
