"""Heads and stems as people build them: from what a state dict tells of them, the function that was trained."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from shared.contract import ModelFile
from shared.contract.model_file import Activation
from shared.errors import ModelError
from tests.numeric.checkpoints import check, resnet, saved, state_of
from tests.numeric.networks import inputs, random_module


def headed(head: nn.Module, seed: int = 3) -> nn.Module:
    """A ResNet18 whose `fc` is this head, with statistics that are not those it starts with."""
    torch.manual_seed(seed)
    module = copy.deepcopy(resnet())
    for layer in head.modules():
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2)
                nn.init.uniform_(layer.bias, -0.5, 0.5)
    module.fc = head
    return module.eval()


def iterated(head: nn.Module) -> nn.Module:
    """As after some steps of training, in which a spectral norm is approached."""
    for _ in range(9):
        head(torch.randn(2, 512))
    return head


CLOSED: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 5)),
    "alone in a sequence": lambda: nn.Sequential(nn.Linear(512, 5)),
    "without bias": lambda: nn.Linear(512, 5, bias=False),
    "batch normalisation before": lambda: nn.Sequential(nn.BatchNorm1d(512), nn.Dropout(0.2), nn.Linear(512, 5)),
    "batch normalisation, no bias": lambda: nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, 5, bias=False)),
    "batch normalisation without weights": lambda: nn.Sequential(nn.BatchNorm1d(512, affine=False), nn.Linear(512, 5)),
    "batch normalisation after": lambda: nn.Sequential(nn.Linear(512, 5), nn.BatchNorm1d(5)),
    "weight normalisation": lambda: nn.Sequential(nn.Dropout(), parametrizations.weight_norm(nn.Linear(512, 5))),
    "weight normalisation of old": lambda: nn.utils.weight_norm(nn.Linear(512, 5)),
    "spectral normalisation": lambda: parametrizations.spectral_norm(nn.Linear(512, 5)),
    "spectral normalisation of old": lambda: iterated(nn.utils.spectral_norm(nn.Linear(512, 5))),
    "two matrices, nothing between": lambda: nn.Sequential(nn.Linear(512, 32), nn.Linear(32, 5)),
}


@pytest.mark.parametrize("kind", CLOSED)
def test_a_head_that_is_one_linear_function_has_every_method(kind: str, tmp_path: Path) -> None:
    """Whatever stands around its one matrix: dropout, normalisation by trained statistics."""
    module = headed(CLOSED[kind]())
    net = check(saved(state_of(module), tmp_path), module)
    assert "cam" in net.methods
    assert net.target_layer == "layer4"
    assert net.identity_error is not None
    assert ("a cosine head" in " ".join(net.notes)) == (kind == "without bias")


OPEN: dict[str, Callable[[], nn.Module]] = {
    "two matrices": lambda: nn.Sequential(nn.Linear(512, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 5)),
    "two matrices, the first in a sequence of its own": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(512, 32), nn.ReLU()), nn.Linear(32, 5)
    ),
    "two blocks": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(512, 32), nn.ReLU()), nn.Sequential(nn.Linear(32, 5), nn.Dropout())
    ),
    "normalised between": lambda: nn.Sequential(
        nn.Linear(512, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 5)
    ),
    "normalised after the activation": lambda: nn.Sequential(
        nn.BatchNorm1d(512), nn.Linear(512, 32, bias=False), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 5)
    ),
}


@pytest.mark.parametrize("kind", OPEN)
def test_a_head_with_an_activation_is_explained_by_autograd(kind: str, tmp_path: Path) -> None:
    """What is assumed is said, and why the other methods are not offered."""
    module = headed(OPEN[kind]())
    net = check(saved(state_of(module), tmp_path), module)
    assert net.methods[:1] == ("gradcam",)
    assert "cam" not in net.methods
    assert "relu is assumed" in " ".join(net.notes)
    assert net.reason


class OnTop(nn.Module):
    """As beginners write it: their classes are computed from ImageNet's."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.resnet, self.between, self.fc = copy.deepcopy(resnet(10)), between, nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.between(self.resnet(x)))


@pytest.mark.parametrize(
    ("build", "activation", "closed", "said"),
    [
        (lambda: nn.Sequential(copy.deepcopy(resnet(10)), nn.Linear(10, 5)), None, True, ""),
        (lambda: nn.Sequential(copy.deepcopy(resnet(10)), nn.ReLU(), nn.Linear(10, 5)), None, False, "relu is assumed"),
        (lambda: OnTop(nn.Identity()), None, True, "no activation is assumed"),
        (lambda: OnTop(nn.GELU()), "gelu", False, ""),
    ],
    ids=["next", "one between", "a class", "a class with an activation"],
)
def test_a_layer_on_top_of_the_whole_network_is_a_part_of_it(
    build: Callable[[], nn.Module], activation: Activation | None, closed: bool, said: str, tmp_path: Path
) -> None:
    """Its classes are the answer, and not those below it; what nothing says of an activation is said to be assumed."""
    torch.manual_seed(6)
    module = build().eval()
    net = check(saved(state_of(module), tmp_path), module, given=ModelFile(activation=activation))
    assert ("cam" in net.methods, len(net.labels)) == (closed, 5)
    assert said in " ".join(net.notes)
    assert bool(net.notes) == bool(said)


def test_fastais_pooling_is_understood(tmp_path: Path) -> None:
    """Its body is the trunk's children by number, its head takes maximum and mean of each channel."""

    class Concat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([nn.functional.adaptive_max_pool2d(x, 1), nn.functional.adaptive_avg_pool2d(x, 1)], 1)

    torch.manual_seed(4)
    body = nn.Sequential(*list(copy.deepcopy(resnet()).children())[:-2])
    layers = [Concat(), nn.Flatten(), nn.BatchNorm1d(1024), nn.Dropout(0.25), nn.Linear(1024, 64, bias=False)]
    layers += [nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 5, bias=False)]
    module = nn.Sequential(body, nn.Sequential(*layers)).eval()
    net = check(saved({"model": state_of(module), "opt": {}}, tmp_path), module)
    assert "gradcam" in net.methods
    assert "maximum and the mean" in " ".join(net.notes)


@pytest.mark.parametrize(
    ("name", "child"),
    [
        ("mobilenet_v2", "classifier"),
        pytest.param("efficientnet_b0", "classifier", marks=pytest.mark.slow),
        pytest.param("convnext_tiny", "classifier", marks=pytest.mark.slow),
        pytest.param("vit_b_32", "heads", marks=pytest.mark.slow),
        pytest.param("densenet121", "classifier", marks=pytest.mark.slow),
    ],
)
def test_a_head_replaced_as_a_whole(name: str, child: str, tmp_path: Path) -> None:
    """`model.classifier = nn.Linear(…)`, where the architecture has a sequence."""
    module = random_module(name, 5)
    width = next(layer for layer in module.get_submodule(child).modules() if isinstance(layer, nn.Linear)).in_features
    linear = nn.Linear(width, 4)
    setattr(module, child, nn.Sequential(nn.Flatten(1), linear) if name == "convnext_tiny" else linear)
    size = 224 if name == "vit_b_32" else 64
    net = check(saved(state_of(module.eval()), tmp_path), module, name, inputs(1, size))
    assert len(net.labels) == 4


@pytest.mark.parametrize("channels", [1, 4])
def test_stems_of_other_channels(channels: int, tmp_path: Path) -> None:
    """Built from the shape of the first kernel."""
    module = copy.deepcopy(resnet())
    module.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    x = torch.randn(2, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    check(saved(state_of(module), tmp_path), module, x=x)


def test_the_stem_for_small_pictures(tmp_path: Path) -> None:
    """A 3x3 kernel: stride 1, and no pool after it."""
    module = copy.deepcopy(resnet())
    module.conv1, module.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    net = check(saved(state_of(module), tmp_path), module, x=inputs(2, 32))
    assert "without the first pool" in " ".join(net.notes)


@pytest.mark.parametrize("dim", [None, 1])
def test_a_weight_whose_lengths_are_not_one_for_each_row_is_refused(dim: int | None, tmp_path: Path) -> None:
    """torch multiplies them row by row without a look at how many there are: past the end of the shorter one."""
    module = headed(nn.utils.weight_norm(nn.Linear(512, 5), dim=dim))

    with pytest.raises(ModelError, match="no linear layer that takes its 512 channels"):
        check(saved(state_of(module), tmp_path), module)
