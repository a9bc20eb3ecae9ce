"""What a checkpoint says beside its weights: names of classes, mean and std."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.contract import InputTable, ModelFile
from tests.numeric.checkpoints import NAMES, prefixed, resnet, saved, state_of
from tests.numeric.networks import CPU
from worker.core.model.network import load_network


@pytest.mark.parametrize("scale", [1, 255])
@pytest.mark.parametrize("names", [("0.mean", "0.std", "1."), ("normalizer.new_mean", "normalizer.new_std", "model.")])
def test_a_first_layer_that_normalises_says_how(scale: int, names: tuple[str, str, str], tmp_path: Path) -> None:
    """As robust networks have one; what a model file says goes before it."""
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    own = {names[0]: mean.view(1, 3, 1, 1) * scale, names[1]: std.view(3, 1, 1) * scale}
    path = saved({"model": {**own, **prefixed(state_of(resnet()), names[2])}}, tmp_path)
    net = load_network("resnet18", weights=path, device=CPU)
    assert net.spec.mean == pytest.approx(mean.tolist(), abs=1e-6)
    assert net.spec.std == pytest.approx(std.tolist(), abs=1e-6)
    assert not {"input.mean", "input.std"} & set(net.assumed)
    assert f"normalised by model.{names[0]}" in " ".join(net.notes)
    given = ModelFile(input=InputTable(mean=(0.1, 0.1, 0.1)))
    assert load_network("resnet18", weights=path, device=CPU, given=given).spec.mean == (0.1, 0.1, 0.1)


def test_numbers_of_a_loss_are_not_those_of_the_input(tmp_path: Path) -> None:
    """A perceptual loss carries ImageNet's mean and std, whatever the network was given."""
    module = resnet()
    extra = {"criterion.vgg.mean": torch.full((3,), 0.1), "criterion.vgg.std": torch.full((3,), 0.9)}
    net = load_network("resnet18", weights=saved(state_of(module) | extra, tmp_path), device=CPU)
    assert net.spec.mean == pytest.approx((0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_to_idx", {name: np.int64(index) for index, name in enumerate(NAMES)}),
        ("class2idx", {np.str_(name): index for index, name in enumerate(NAMES)}),
        ("idx_to_class", {str(index): name for index, name in enumerate(NAMES)}),
        ("idx2label", dict(enumerate(NAMES))),
        ("names", dict(enumerate(NAMES))),
        ("class_labels", tuple(NAMES)),
        ("target_names", np.array(NAMES)),
        ("classes_", np.array(NAMES, dtype=object)),
    ],
)
def test_names_of_classes_are_found_under_any_of_their_keys(key: str, value: object, tmp_path: Path) -> None:
    """Also those that NumPy or scikit-learn made."""
    path = saved({"state_dict": state_of(resnet()), "encoder": argparse.Namespace(**{key: value})}, tmp_path)
    net = load_network("resnet18", weights=path, device=CPU)
    assert (list(net.labels), net.labels_from) == (NAMES, f"checkpoint, encoder.{key}")


@pytest.mark.parametrize("kind", [set, frozenset])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_set_of_names_is_in_no_order_and_not_used(kind: type, protocol: int, tmp_path: Path) -> None:
    """Python pickles it in another order each time; any would be wrong without a word."""
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": state_of(resnet()), "classes": kind(NAMES)}, path, pickle_protocol=protocol)
    net = load_network("resnet18", weights=path, device=CPU)
    assert (net.labels[0], net.labels_from) == ("class 0", "numbers")
