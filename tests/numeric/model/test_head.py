"""The head: found by structure, proven by the identity, right on paper."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shared.errors import ModelError
from tests.numeric.networks import inputs, load, network, random_module
from worker.core.model.head import LinearHead, PooledConvHead, identity_error
from worker.core.model.proof import IDENTITY_TOLERANCE
from worker.core.model.structure import POOL_INPUT, UnqualifiedError, find_structure


class Tiny(nn.Module):
    """A convolution, ReLU, then whatever pool and head the test gives it."""

    def __init__(self, pool: object, *head: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.pool = pool
        self.head = nn.Sequential(*head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.features(x)))


def structure_of(module: nn.Module) -> tuple[str, float]:
    """Where the pool's input was found, and the error of the identity there."""
    found = find_structure(module.eval())
    caught = []
    found.module.get_submodule(found.layer).register_forward_hook(lambda _m, _i, output: caught.append(output))
    with torch.inference_mode():
        logits = found.module(inputs(2, 16))
        assert torch.allclose(logits, module(inputs(2, 16)), atol=1e-6)
    return found.layer, identity_error(found.head, caught[0].double(), logits)


def test_a_one_channel_network_has_the_map_known_on_paper():
    """One pixel doubled by a 1x1 convolution; weights 3 and -1, biases 10 and 0: maps and logits by hand."""
    head = LinearHead(torch.tensor([[3.0], [-1.0]]), torch.tensor([10.0, 0.0]))
    activations = 2 * torch.tensor([[[[0.0, 1.0], [2.0, 5.0]]]])
    maps = head.maps(activations, torch.tensor([[0, 1]]))
    assert maps.tolist() == [[[[0.0, 6.0], [12.0, 30.0]], [[0.0, -2.0], [-4.0, -10.0]]]]
    assert head.logits(activations).tolist() == [[22.0, -4.0]]  # 48 / 4 + 10, -16 / 4 + 0


def test_a_one_channel_squeezenet_head_has_the_map_known_on_paper():
    """relu(W·A + b), the bias inside the map and cut with it."""
    head = PooledConvHead(torch.tensor([[3.0], [-1.0]]), torch.tensor([-4.0, 2.0]))
    activations = torch.tensor([[[[0.0, 1.0], [2.0, 5.0]]]])
    maps = head.maps(activations, torch.tensor([[0, 1]]))
    assert maps.tolist() == [[[[0.0, 0.0], [2.0, 11.0]], [[2.0, 1.0], [0.0, 0.0]]]]
    assert head.logits(activations).tolist() == [[3.25, 0.75]]


def test_maps_are_the_formula_transcribed_to_numpy():
    """The reference notebook: classifier weights · activations, reshaped to h x w, for each class and image."""
    net = network()
    logits, activations = net.forward(inputs(2, 96))
    weight = net.module.get_submodule("fc").weight.numpy()
    classes = torch.tensor([[283, 332, 5], [0, 999, 7]])
    maps = net.head.maps(activations.double(), classes).float().numpy()
    for image in range(2):
        flat = activations[image].numpy().reshape(512, 9)
        for place, index in enumerate(classes[image].tolist()):
            expected = np.dot(weight[index], flat).reshape(3, 3)
            np.testing.assert_allclose(maps[image, place], expected, atol=1e-5 * np.abs(expected).max())
    bias = net.module.get_submodule("fc").bias
    for image in range(2):
        means = torch.from_numpy(maps[image].mean((1, 2))) + bias[classes[image]]
        assert torch.allclose(means, logits[image, classes[image]], atol=1e-5)


@pytest.mark.parametrize(
    ("pool", "layer"),
    [
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "features"),
        (nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Dropout()), "features"),
        (nn.Sequential(nn.AvgPool2d(14), nn.Flatten()), "features"),
        (lambda x: x.mean((2, 3)), "features"),
        (lambda x: x.mean([-1, -2]), "features"),
        (lambda x: torch.mean(x, dim=(3, 2)), "features"),
        (lambda x: torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1), "features"),
        (lambda x: F.avg_pool2d(x, 14).view(x.size(0), -1), "features"),
        (lambda x: F.relu(x - 0.1).mean((2, 3)), POOL_INPUT),
    ],
)
def test_every_way_to_write_a_global_pool_is_found(pool: object, layer: str):
    """As module, function or method; where a function feeds the pool, an identity layer catches it."""
    torch.manual_seed(0)
    found, error = structure_of(Tiny(pool, nn.Linear(4, 5)))
    assert found == layer
    assert error < 1e-6


def test_a_wrong_layer_does_not_pass_the_identity():
    """EfficientNet-Lite's batch normalisation before its last activation is not the input of the pool."""
    net = network("efficientnet_lite0", 10)
    before = []
    net.module.get_submodule("_bn1").register_forward_hook(lambda _m, _i, output: before.append(output))
    logits = net.module(inputs(1))
    net.module.get_submodule("_bn1")._forward_hooks.clear()
    assert net.target_layer == POOL_INPUT
    assert net.identity_error < 1e-6
    assert identity_error(net.head, before[0].double(), logits) > 100 * IDENTITY_TOLERANCE


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1"])
def test_no_mistake_hides_behind_the_size_of_the_summands(name: str):
    """Channels or classes in the wrong order, a part of the map, another pool, weights of another sign or scale."""
    net = network(name, 10)
    head = net.head
    x = inputs(1, 224)
    logits, a = (each.double() for each in net.forward(x))
    assert identity_error(head, a, logits) < 1e-6
    mistakes = {
        "channels": identity_error(head, a.roll(1, 1), logits),
        "classes": identity_error(replace(head, weight=head.weight.roll(1, 0)), a, logits),
        "part": identity_error(head, a[..., :-1, :], logits),
        "pool": identity_error(head, a, F.linear(a.amax((2, 3)), head.weight, head.bias)),
        "sign": identity_error(replace(head, weight=-head.weight), a, logits),
        "scale": identity_error(head, a * 1.01, logits),
    }
    if name != "squeezenet1_1":  # whose fresh convolution has no bias to forget
        mistakes["bias"] = identity_error(replace(head, bias=head.bias * 0), a, logits)
    assert {key: error for key, error in mistakes.items() if error < 3 * IDENTITY_TOLERANCE} == {}


def few_classes(kind: str) -> tuple[str, nn.Module]:
    """Networks that are right, whose logits on a picture of noise are far smaller than their summands, or zero."""
    if kind == "closed ReLU":
        module = random_module("squeezenet1_1", 2)
        nn.init.constant_(module.classifier[1].bias, -3.0)
        return "squeezenet1_1", module
    module = random_module("shufflenet_v2_x0_5", 2 if kind == "zero head" else 1)
    if kind == "zero head":
        nn.init.zeros_(module.fc.weight)
        nn.init.zeros_(module.fc.bias)
    else:
        noise = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            logit = float(module.eval()(noise))
        with torch.no_grad():
            module.fc.bias -= logit - 1e-5
    return "shufflenet_v2_x0_5", module


@pytest.mark.parametrize("kind", ["closed ReLU", "zero head", "one class of logit zero"])
def test_a_right_network_is_not_refused_for_small_logits(kind: str):
    """0 = 0 passes, and rounding is measured against what was summed."""
    name, module = few_classes(kind)
    net = load(module, name)
    assert net.identity_error is not None
    assert net.identity_error < 1e-6


def test_a_wrong_head_is_refused_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch):
    """With the numbers, and why."""
    right = find_structure

    def wrong(module: nn.Module) -> object:
        found = right(module)
        return replace(found, head=replace(found.head, bias=found.head.bias + 0.1))

    monkeypatch.setattr("worker.core.model.proof.find_structure", wrong)
    with pytest.raises(ModelError, match="do not add up to the logits"):
        load(random_module("shufflenet_v2_x0_5", 3), "shufflenet_v2_x0_5")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Tiny(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 8), nn.Linear(8, 5)), "head.1 (Linear)"),
        (Tiny(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 5)), "head.1 (LayerNorm)"),
        (Tiny(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)), "pool (AdaptiveAvgPool2d)"),
        (Tiny(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 5)), "pool (AdaptiveMaxPool2d)"),
        (Tiny(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.Softmax(1)), "head.2 (Softmax)"),
        (Tiny(lambda x: x if x.sum() > 0 else -x, nn.Flatten(), nn.Linear(784, 5)), "cannot be traced"),
    ],
)
def test_a_network_that_does_not_qualify_is_refused_with_what_stands_in_the_way(module: nn.Module, reason: str):
    """Exactly a global average pool and one linear layer, nothing that computes between or behind."""
    with pytest.raises(UnqualifiedError) as refused:
        find_structure(module.eval())
    assert reason in str(refused.value)
