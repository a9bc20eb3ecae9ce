"""Every family of architectures: the head found by structure, the identity, and every method."""

import numpy as np
import pytest
import torch

from shared.contract import METHODS, Options
from tests.numeric.families import QUALIFIED
from tests.numeric.networks import every_method, explained, inputs, network, pictures, random_module
from worker.core.engine.engine import Engine
from worker.core.model import architectures, published

OTHERS = [
    ("mobilenet_v3_small", "features", 64, 2),
    ("alexnet", "features.11", 96, 5),
    pytest.param("vgg11", "features.19", 64, 4, marks=pytest.mark.slow),
    pytest.param("vgg16_bn", "features.42", 64, 4, marks=pytest.mark.slow),
    pytest.param("convnext_tiny", "features", 64, 2, marks=pytest.mark.slow),
    pytest.param("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", 224, 14, marks=pytest.mark.slow),
    pytest.param("maxvit_t", "blocks.3", 224, 7, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "layer", "size", "side"), QUALIFIED)
def test_a_qualified_network_serves_every_method(name: str, layer: str, size: int, side: int):
    """Found by its structure; the mean of each map plus bias is the logit.

    What the graph puts out second is exactly what a hook on the target layer catches.
    """
    net, module = network(name, 10), random_module(name, 10)
    assert (net.methods, net.target_layer) == (METHODS, layer)
    x = inputs(2, size)
    assert net.graph is not None
    for found, hooked in zip(net.forward(x), net.hooked(x), strict=True):
        torch.testing.assert_close(found, hooked, rtol=1e-5, atol=1e-5 * float(hooked.abs().max()))
    assert net.identity_error is not None
    assert net.identity_error < 5e-6
    wishes = every_method(net, top_k=2)
    outcomes = Engine(net, 8).run([pictures(1, size)[0]] * len(wishes), wishes)
    maps = {wish.method: explained(outcome) for wish, outcome in zip(wishes, outcomes, strict=True)}
    assert {each.values.shape for classes in maps.values() for each in classes} == {(side, side)}
    for each in maps["cam"]:
        promised = each.values.mean() + float(net.head.outside[each.class_index])
        assert promised == pytest.approx(each.logit, rel=1e-4, abs=1e-5)
    with torch.inference_mode():
        pixels = torch.from_numpy(pictures(1, size)[0]).permute(2, 0, 1).float()[None] / 255
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (net.spec.mean, net.spec.std))
        logits = module.eval()((pixels - mean) / std)[0]
    best = maps["cam"][0]
    assert best.logit == pytest.approx(float(logits.max()), rel=1e-4, abs=1e-5)
    assert best.class_index == int(logits.argmax())


@pytest.mark.parametrize(("name", "layer", "size", "side"), OTHERS)
def test_any_other_network_serves_gradcam(name: str, layer: str, size: int, side: int):
    """From a sensible layer of its family, and nothing stays behind on its parameters."""
    net = network(name, 10)
    assert (net.methods, net.target_layer, net.head, net.graph) == (
        ("gradcam", "hirescam", "layercam", "finercam"),
        layer,
        None,
        None,
    )
    wishes = [Options(method="gradcam", top_k=2), Options(method="gradcam", classes=(3,), target="softmax")]
    first, second = Engine(net, 2).run(pictures(2, size), wishes)
    for each in (*explained(first), *explained(second)):
        assert each.values.shape == (side, side)
        assert np.isfinite(each.values).all()
        assert each.values.min() >= 0
    assert all(p.grad is None for p in net.module.parameters())


@pytest.mark.slow
def test_every_name_has_weights_preprocessing_and_an_architecture():
    """Nothing in the list is there by name alone."""
    for name in architectures.NAMES:
        if name != architectures.LITE:
            assert published.published(name).url.startswith("https://")
            assert published.published(name).transforms().crop_size
