"""A network of the user's own, from its trainer's checkpoint to its maps: `camq inspect`, then `camq run`."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from tests.acceptance.local import camq

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(300)]

NAMES = ("cat", "dog", "rabbit")


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A ResNet18 with the head of every fine-tuning tutorial."""
    torch.manual_seed(0)
    module = torchvision.models.resnet18(weights=None)
    module.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, len(NAMES)))
    return module.eval()


@pytest.fixture
def folder(trained: nn.Module, tmp_path: Path) -> Path:
    """Its checkpoint as Lightning writes it, with names, and a picture."""
    state = {f"model.{key}": tensor for key, tensor in trained.state_dict().items()}
    hyper = {"class_to_idx": {name: index for index, name in enumerate(NAMES)}, "root": tmp_path}
    torch.save(
        {"state_dict": {**state, "criterion.weight": torch.ones(3)}, "hyper_parameters": hyper}, tmp_path / "p.ckpt"
    )
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(noise).resize((480, 360)).save(tmp_path / "photo.png")
    return tmp_path


def test_a_checkpoint_is_inspected_written_as_a_model_file_and_run(trained: nn.Module, folder: Path) -> None:
    """Names, own mean and std, sigmoid outputs: what the answer says is what the network says by hand."""
    done = camq("inspect", "p.ckpt", "--write", "pets.toml", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["architecture"], report["classes"], report["outputs"]) == ("resnet18", list(NAMES), "softmax")
    assert report["labels_from"] == "checkpoint, hyper_parameters.class_to_idx"
    assert (report["target_layer"], report["identity_error"] < 1e-5) == ("layer4", True)
    assert report["ignored"] == ["state_dict.criterion.weight"]
    in_input = [f"input.{name}" for name in ("size", "mean", "std", "resize", "interpolation", "exif", "antialias")]
    assert report["assumed"] == ["architecture", "outputs", *in_input]

    text = (folder / "pets.toml").read_text()
    assert tomllib.loads(text)["weights"] == "p.ckpt"
    assert 'outputs = "softmax"  # assumed' in text
    text = text.replace('outputs = "softmax"', 'outputs = "sigmoid"').replace(
        "[0.485, 0.456, 0.406]", "[0.5, 0.5, 0.5]"
    )
    (folder / "pets.toml").write_text(text)
    again = camq("inspect", "p.ckpt", "--write", "pets.toml", cwd=folder)
    assert (again.returncode, (folder / "pets.toml").read_text()) == (2, text)
    assert "pets.toml is there and says something else" in again.stderr
    done = camq("run", "photo.png", "--model", "pets.toml", "--json", "--min-probability", "0.0001", cwd=folder)
    assert done.returncode == 0, done.stderr

    [record] = [json.loads(line) for line in done.stdout.splitlines()]
    pixels = np.asarray(Image.open(folder / "photo.png").resize((224, 224), Image.Resampling.BILINEAR))
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    x = (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255 - 0.5) / std
    with torch.inference_mode():
        logits = trained(x[None])[0]
    found = {each["label"]: each for each in record["predictions"]}
    assert record["model"].startswith("pets@")
    for name, logit in zip(NAMES, logits, strict=True):
        assert found[name]["logit"] == pytest.approx(float(logit), abs=1e-4)
        assert found[name]["probability"] == pytest.approx(float(logit.sigmoid()), abs=1e-5)


def test_what_was_assumed_is_marked(folder: Path) -> None:
    """On a terminal as in JSON and in the model file that is written."""
    done = camq("inspect", "p.ckpt", cwd=folder)
    shown = done.stdout
    assert done.stderr == (
        "reading p.ckpt: loading torch, building the network and running it once take some seconds\n"
    )
    assert "resnet18  (assumed, since its tensors have these shapes)" in shown
    assert "softmax  (assumed)" in shown
    assert "served as       resnet18@" in shown
    assert "served as       pets@…" in camq("inspect", "p.ckpt", "--write", "pets.toml", cwd=folder).stdout
    assert "size, mean, std, resize, interpolation, exif, antialias; a checkpoint does not say them" in shown
    done = camq("inspect", "gone.pth", cwd=folder)
    assert (done.returncode, "there is no file gone.pth" in done.stderr) == (2, True)


def test_what_fits_nothing_ends_at_once_with_what_was_found(folder: Path) -> None:
    """Exit 5, nothing started; a mistake in a model file is exit 2, with its line."""
    torch.save({"layer.weight": torch.ones(3, 4)}, folder / "odd.pth")
    done = camq("inspect", "odd.pth", cwd=folder)
    assert done.returncode == 5
    assert "holds 1 tensors that are of no architecture camq knows: layer.weight (3, 4)" in done.stderr
    done = camq("run", "photo.png", "--weights", "odd.pth", cwd=folder)
    assert done.returncode == 5
    assert "do not fit resnet18: missing: conv1.weight" in done.stderr
    assert "It holds 1 tensors: layer.weight (3, 4)" in done.stderr
    torch.save(torchvision.models.resnet34(num_classes=5).state_dict(), folder / "deep.pth")
    done = camq("inspect", "deep.pth", "--model", "resnet18", cwd=folder)
    assert done.returncode == 5
    assert "do not fit resnet18: these are the weights of a resnet34 with 5 classes" in done.stderr
    torch.jit.script(nn.Linear(3, 4)).save(folder / "script.pt")
    done = camq("run", "photo.png", "--weights", "script.pt", cwd=folder)
    assert done.returncode == 5
    assert 'torch.save(torch.jit.load("script.pt").state_dict(), "state.pth")' in done.stderr
    torch.save(nn.Linear(3, 4), folder / "whole.pt")
    exported = torch.export.export(nn.Linear(3, 4), (torch.ones(1, 3),))
    torch.export.save(exported, folder / "exported.pt2")
    for file, way in (
        ("whole.pt", "is a whole module (torch.nn.modules.linear.Linear)"),
        ("exported.pt2", "torch.export.load("),
    ):
        done = camq("inspect", file, cwd=folder)
        assert (done.returncode, way in done.stderr) == (5, True), done.stderr
    (folder / "bad.toml").write_text('weights = "p.ckpt"\noutput = "sigmoid"\n')
    done = camq("run", "photo.png", "--model", "bad.toml", cwd=folder)
    assert done.returncode == 2
    assert "bad.toml, line 2: unknown key 'output' (did you mean outputs?)" in done.stderr
