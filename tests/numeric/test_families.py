"""Every family of architectures: the head found by structure, the identity, and every method."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import EfficientNet, ResNet
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.resnet import Bottleneck

from shared.contract import METHODS, Options
from tests.numeric.networks import architecture, every_method, explained, inputs, load, network, pictures, random_module
from worker.core.engine.engine import Engine
from worker.core.model import architectures, published
from worker.core.model.network import Network

slow = pytest.mark.slow
QUALIFIED = [
    ("resnet18", "layer4", 96, 3),
    ("densenet121", "pool_input", 64, 2),
    ("mobilenet_v2", "features", 96, 3),
    ("efficientnet_b0", "features", 65, 3),
    ("shufflenet_v2_x0_5", "conv5", 96, 3),
    ("mnasnet0_5", "layers", 64, 2),
    ("squeezenet1_1", "features", 224, 13),
    ("googlenet", "inception5b", 64, 2),
    ("efficientnet_lite0", "pool_input", 224, 7),
    ("inception_v3", "Mixed_7c", 75, 1),
    ("regnet_y_400mf", "trunk_output", 64, 2),
    pytest.param("resnet50", "layer4", 64, 2, marks=slow),
    pytest.param("regnet_x_400mf", "trunk_output", 64, 2, marks=slow),
    pytest.param("resnext50_32x4d", "layer4", 64, 2, marks=slow),
    pytest.param("wide_resnet50_2", "layer4", 64, 2, marks=slow),
    pytest.param("efficientnet_v2_s", "features", 64, 2, marks=slow),
    pytest.param("squeezenet1_0", "features", 224, 13, marks=slow),
    pytest.param("swin_t", "permute", 64, 2, marks=slow),
    pytest.param("swin_v2_t", "permute", 64, 2, marks=slow),
]


def resnet(**options: int) -> Callable[[int], nn.Module]:
    return lambda classes: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=classes, **options)  # type: ignore[arg-type]


#: Their layer, and how one with as many classes is built.
SHALLOW: dict[str, tuple[str, Callable[[int], nn.Module]]] = {
    "resnext50_32x4d": ("layer4", resnet(groups=32, width_per_group=4)),
    "wide_resnet50_2": ("layer4", resnet(width_per_group=96)),
    "efficientnet_v2_s": (
        "features",
        lambda classes: EfficientNet(
            [
                FusedMBConvConfig(1, 3, 1, 24, 24, 1),
                FusedMBConvConfig(4, 3, 2, 24, 48, 1),
                FusedMBConvConfig(4, 3, 2, 48, 64, 1),
                MBConvConfig(4, 3, 2, 64, 128, 1),
                MBConvConfig(6, 3, 2, 128, 160, 1),
            ],
            dropout=0.2,
            num_classes=classes,
            norm_layer=partial(nn.BatchNorm2d, eps=1e-3),
            last_channel=320,
        ),
    ),
}
OTHERS = [
    ("mobilenet_v3_small", "features", 64, 2),
    ("alexnet", "features.11", 96, 5),
    pytest.param("vgg11", "features.19", 64, 4, marks=slow),
    pytest.param("vgg16_bn", "features.42", 64, 4, marks=slow),
    pytest.param("convnext_tiny", "features", 64, 2, marks=slow),
    pytest.param("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", 224, 14, marks=slow),
    pytest.param("maxvit_t", "blocks.3", 224, 7, marks=slow),
]


@pytest.mark.parametrize(("name", "layer", "size", "side"), QUALIFIED)
def test_a_qualified_network_serves_every_method(name: str, layer: str, size: int, side: int):
    """Found by its structure; the mean of each map plus bias is the logit.

    What the graph puts out second is exactly what a hook on the target layer catches.
    """
    serves_every_method(network(name, 10), random_module(name, 10), layer, size, side)


@pytest.mark.parametrize("name", SHALLOW)
def test_a_shallow_member_of_a_family_serves_every_method(name: str):
    """torchvision's own blocks, few of them: the full networks take seconds, and `make test-all` has them."""
    layer, build = SHALLOW[name]
    with architecture(build):
        net = load(random_module(name, 10), name)
        serves_every_method(net, random_module(name, 10), layer, 64, 2)


def serves_every_method(net: Network, module: nn.Module, layer: str, size: int, side: int) -> None:
    """`module` is what `net` was loaded from."""
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


@slow
def test_every_name_has_weights_preprocessing_and_an_architecture():
    """Nothing in the list is there by name alone."""
    for name in architectures.NAMES:
        if name != architectures.LITE:
            assert published.published(name).url.startswith("https://")
            assert published.published(name).transforms().crop_size
