"""Every method and several families of networks through the real command, with state dicts made here."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tests.acceptance.local import camq, serving

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

METHODS = (
    "cam",
    "gradcam",
    "hirescam",
    "xgradcam",
    "layercam",
    "gradcam++",
    "eigencam",
    "ablationcam",
    "scorecam",
    "finercam",
)
#: Above the networks' own minimum, and small: what is tested here is the way, not the speed.
SIZE = 64


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    Image.effect_noise((90, 60), 80).convert("RGB").save(path)
    return path


def weights(name: str, folder: Path) -> Path:
    """A random state dict, whose normalisation has statistics of its own as a trained one has."""
    torch.manual_seed(7)
    network = getattr(torchvision.models, name)(weights=None, num_classes=12)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    path = folder / f"{name}.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet18", "vgg16"])
def test_run_explains_with_a_users_own_weights(network: str, picture: Path, tmp_path: Path) -> None:
    """Twelve classes taken from the state dict; the kept maps add up to the logits where they must."""
    method = "gradcam" if network == "vgg16" else "cam"
    done = camq(
        *("run", picture, "--model", network, "--weights", weights(network, tmp_path), "--method", method),
        *("--input-size", SIZE, "--keep-maps", "--out", "out", "--json"),
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert (line["state"], line["method"], len(line["predictions"])) == ("succeeded", method, 3)
    with np.load(tmp_path / "out" / "maps" / "0.npz") as kept:
        maps, logits = kept["maps"], kept["logit"]
        assert maps.dtype == np.float32
        assert [int(index) for index in kept["class_index"]] == [p["class_index"] for p in line["predictions"]]
    if method == "cam":
        bias = np.array([bias_of(network, tmp_path)[p["class_index"]] for p in line["predictions"]])
        assert np.allclose(maps.mean((1, 2)) + bias, logits, rtol=1e-4, atol=1e-4)


def bias_of(network: str, folder: Path) -> np.ndarray:
    state = torch.load(folder / f"{network}.pth", weights_only=True)
    return [tensor.numpy() for tensor in state.values() if tensor.shape == (12,)][-1]


@pytest.mark.slow
def test_every_method_is_at_hand_in_one_worker(picture: Path, tmp_path: Path) -> None:
    """One job per method on one resnet18; each names itself in its result, and its overlay is a picture."""
    with serving("--model", "resnet18", "--weights", weights("resnet18", tmp_path), folder=tmp_path) as up:
        for method in METHODS:
            options = ("--method", method, "--top-k", 2, "--input-size", SIZE)
            done = up.camq("submit", picture, *options, "--wait", "--json")
            assert done.returncode == 0, done.stderr
            job = json.loads(done.stdout.splitlines()[0])["job"]
            (line,) = [
                json.loads(text) for text in up.camq("results", job, "--out", method, "--json").stdout.splitlines()
            ]
            assert (line["method"], [p["rank"] for p in line["predictions"]]) == (method, [1, 2])
            overlay = (tmp_path / method / line["predictions"][0]["overlay"]).read_bytes()
            assert Image.open(io.BytesIO(overlay)).size == (90, 60)


def test_masks_boxes_and_heat_come_out_as_asked_for(picture: Path, tmp_path: Path) -> None:
    """Files and results say the same, and the COCO file is read by pycocotools."""
    wanted = (
        "--masks",
        "--boxes",
        3,
        "--heatmaps",
        "full",
        "--smooth",
        "flips",
        "--caption",
        "--overlay",
        "transparent",
    )
    layers = ("--method", "layercam", "--target-layer", "layer3,layer4")
    with serving("--model", "resnet18", "--weights", weights("resnet18", tmp_path), folder=tmp_path) as up:
        given = (*wanted, *layers, "--top-k", 2, "--input-size", SIZE, "--job-id", "out", "--wait")
        done = up.camq("submit", picture, *given)
        assert done.returncode == 0, done.stderr
        (line,) = [json.loads(text) for text in up.camq("results", "out", "--out", "out", "--json").stdout.splitlines()]
        exported = up.camq("export", "out", "coco", "--format", "coco", "--json")

    assert (line["smooth"], line["method"]) == ("flips", "layercam")
    assert json.loads(exported.stdout) == {
        "folder": "coco",
        **{"images": 1, "left_out": 0, "no_original": 0, "no_heatmap": 0},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(tmp_path / "coco" / "coco.json")
    for prediction, annotation in zip(line["predictions"], found.anns.values(), strict=True):
        name = f"0-{prediction['rank']}.png"
        pixels = coco_mask.decode(prediction["mask"])
        assert prediction["overlay"] == f"overlays/{name}"
        with Image.open(tmp_path / "out" / "overlays" / name) as overlay:
            assert (overlay.mode, overlay.size) == ("RGBA", (90, 60))
        with Image.open(tmp_path / "out" / "heatmaps" / name) as heat:
            assert (heat.mode, heat.size) == ("P", (90, 60))
            assert np.ptp(np.asarray(heat)) > 240  # the peak may lie between two pixels
        with Image.open(tmp_path / "out" / "masks" / name) as mask:
            assert (np.asarray(mask) == pixels).all()
        assert (found.annToMask(annotation) == pixels).all()
        assert prediction["box"] in prediction["boxes"] or len(prediction["boxes"]) == 3
        x0, y0, x1, y1 = prediction["box"]
        assert pixels[y0:y1, x0:x1].any()


@pytest.mark.slow
def test_what_a_network_cannot_do_is_refused_with_the_reason_before_any_upload(picture: Path, tmp_path: Path) -> None:
    """AlexNet ends in three linear layers, so only gradcam has a meaning there, and 62 pixels are too few for it."""
    given = ("--weights", weights("alexnet", tmp_path))
    with serving("--model", "alexnet", *given, folder=tmp_path) as up:
        refused = up.camq("submit", picture, "--method", "scorecam")
        small = up.camq("submit", picture, "--method", "gradcam", "--input-size", 62)
        assert up.camq("jobs", "--json").stdout.strip() == "[]"
        explained = up.camq("submit", picture, "--method", "gradcam", "--input-size", SIZE, "--wait")

    assert (refused.returncode, small.returncode, explained.returncode) == (2, 2, 0)
    assert (
        "alexnet does not support the method scorecam: classifier.5 (ReLU) stands before its last linear layer, where "
        "the global average pool must be. Use gradcam"
    ) in refused.stderr
    assert "62: alexnet takes 63 to 4096 pixels" in small.stderr
