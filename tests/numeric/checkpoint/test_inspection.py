"""What `camq inspect` makes of a file: what was assumed apart from what was said, a user's mistake from a bad file."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from timm.models import save_for_hf

from shared.config import Settings
from shared.errors import ModelError, UsageError
from tests.numeric.by_hand import created
from tests.numeric.networks import random_module
from worker.core.model.published import download
from worker.models.inspection import inspect

IN_INPUT = [f"input.{name}" for name in ("size", "mean", "std", "resize", "interpolation", "exif", "antialias")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of three classes."""
    torch.save(random_module("resnet18", 3).state_dict(), tmp_path / "p.pth")
    return tmp_path


def assumed(file: Path, model: str | None = None) -> list[str]:
    return list(inspect(str(file), model, Settings()).assumed)


def test_a_checkpoint_says_neither_its_outputs_nor_its_pictures(folder: Path) -> None:
    """Its architecture is guessed unless somebody names it; a stem says its channels."""
    assert assumed(folder / "p.pth") == ["architecture", "outputs", "labels", *IN_INPUT]
    assert assumed(folder / "p.pth", "resnet18") == ["outputs", "labels", *IN_INPUT]


def test_what_a_model_file_says_is_not_assumed(folder: Path) -> None:
    """Key by key; what only matters for a crop or a letterbox is named where there is one."""
    file = folder / "pets.toml"
    top = 'architecture = "resnet18"\nweights = "p.pth"\nlabels = ["a", "b", "c"]\noutputs = "sigmoid"\n[input]\n'
    file.write_text(f'{top}size = 224\nmean = [0, 0, 0]\nresize = "letterbox"\n')
    assert assumed(file) == ["input.std", "input.interpolation", "input.exif", "input.antialias", "input.fill"]
    file.write_text(
        f'{top}size = 224\nmean = [0, 0, 0]\nstd = [1, 1, 1]\nresize = "center-crop"\nresize_size = [256, 256]\n'
        'interpolation = "bicubic"\nexif = false\nantialias = true\n'
    )
    assert assumed(file) == []
    assert inspect(str(file), None, Settings()).input["resize_size"] == [256, 256]


@pytest.mark.slow
def test_the_architecture_is_the_one_that_its_trainer_noted_or_timms_of_these_shapes(tmp_path: Path) -> None:
    """Where torchvision's of that name does not fit."""
    noted = {"state_dict": created("test_resnet").state_dict(), "args": Namespace(model="test_resnet")}
    torch.save(noted, tmp_path / "last.pth.tar")
    torch.save(created("efficientnet_b0").state_dict(), tmp_path / "plain.pth")
    for file, name in (("last.pth.tar", "timm:test_resnet"), ("plain.pth", "timm:efficientnet_b0")):
        found = inspect(str(tmp_path / file), None, Settings())
        assert (found.architecture, found.assumed[0]) == (name, "architecture")


def test_a_folder_of_timms_says_how_its_pictures_were_prepared(tmp_path: Path) -> None:
    """Not what a class is, if nobody wrote it there."""
    save_for_hf(created("test_resnet"), tmp_path)
    assert assumed(tmp_path) == ["outputs", "labels"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            'weights = "p.pth"\nlabels = ["cat", "dog"]\n',
            "the labels in the model file: 2 names, but the weights are for 3",
        ),
        ('weights = "p.pth"\nlabels = "two.txt"\n', r"two\.txt: 2 names, but the weights are for 3 classes"),
        (
            'outputs = "softmax"\nweights = "gone.pth#ema"\n',
            r"m\.toml, line 2: weights: there is no file .*gone\.pth#ema",
        ),
        (
            'weights = "p.pth"\nlabels = "gone.txt"\n',
            r"m\.toml, line 2: labels: there is no file .*gone\.txt; expected a",
        ),
    ],
)
def test_a_mistake_of_the_user_is_a_usage_error(text: str, reason: str, folder: Path) -> None:
    """Exit 2, as for every command; what is missing with its line."""
    (folder / "two.txt").write_text("cat\ndog\n")
    (folder / "m.toml").write_text(text)
    with pytest.raises(UsageError, match=reason):
        inspect(str(folder / "m.toml"), "resnet18", Settings())


def test_a_file_that_fits_nothing_is_none(folder: Path) -> None:
    """Exit 5: the file is at fault, and it may be the only one there is."""
    (folder / "text.pth").write_text("hello")
    with pytest.raises(ModelError, match=r"neither a file of torch\.save nor of safetensors"):
        inspect(str(folder / "text.pth"), None, Settings())


def test_a_host_that_is_not_found_is_said_to_be_so() -> None:
    """Its name, and that it is a matter of the network."""
    with pytest.raises(ModelError, match=r"this machine finds no host nowhere\.invalid: the network is away"):
        download("https://nowhere.invalid/net-00000000.pth")
