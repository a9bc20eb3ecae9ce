"""timm's architectures with random weights: camq's answers are the network's own, run by hand."""

import json
import socket
import time
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import timm.data
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import nn

from shared.contract import Options
from shared.errors import ModelError, UsageError
from tests.numeric.by_hand import answers, close, created, gradcam_by_hand, loaded
from tests.numeric.networks import CPU
from tests.numeric.pictures import encoded, photo
from worker.core.engine.engine import to_input
from worker.core.model.network import Network, load_network
from worker.core.picture.preprocess import prepare
from worker.core.sources.folder import architecture_in
from worker.core.types import Limits

#: timm's own small networks for tests, of each family once.
CLOSED = ["test_resnet", "test_byobnet", "test_efficientnet", "test_nfnet"]


@pytest.mark.parametrize("name", CLOSED)
def test_a_pooled_network_has_every_method(name: str, tmp_path: Path) -> None:
    """Its maps are the last linear layer's weights times the activations before the pool."""
    module = created(name)
    net = loaded(module, name, tmp_path)
    logits, maps, x = answers(net, "cam")
    with torch.no_grad():
        features = module.forward_features(x)[0].double()
        expected = module(x)[0]
    linear = module.get_classifier()
    close(logits.numpy(), expected.numpy())
    close(maps, torch.einsum("ck,khw->chw", linear.weight.detach().double(), features).numpy())
    assert net.identity_error is not None
    assert net.reason == ""


@pytest.mark.parametrize(
    ("name", "layer", "special"),
    [("test_vit", "blocks.5.norm1", 1), ("test_vit3", "norm", 1), ("test_convnext", "norm_pre", 0)],
)
def test_gradcam_is_that_by_hand(name: str, layer: str, special: int, tmp_path: Path) -> None:
    """Of a vision transformer by its patches: the class token is left out."""
    module = created(name)
    net = loaded(module, name, tmp_path)
    logits, maps, x = answers(net, "gradcam")
    expected, by_hand = gradcam_by_hand(module, net.target_layer, x, special)
    close(logits.numpy(), expected.numpy())
    close(maps, by_hand)
    assert (net.target_layer, net.methods) == (layer, ("gradcam", "hirescam", "layercam", "finercam"))
    assert net.reason


def test_registers_are_left_out_like_the_class_token(tmp_path: Path) -> None:
    """DINOv2's with registers: five tokens stand for no position."""
    module = created("vit_tiny_patch16_224", reg_tokens=4, depth=2, img_size=64)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    config = {"architecture": "vit_tiny_patch16_224", "model_args": {"reg_tokens": 4, "depth": 2, "img_size": 64}}
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(module.state_dict(), folder / "model.safetensors")
    net = load_network("timm:vit_tiny_patch16_224", weights=folder, device=CPU)
    logits, maps, x = answers(net, "gradcam")
    expected, by_hand = gradcam_by_hand(module, "blocks.1.norm1", x, 5)
    close(logits.numpy(), expected.numpy())
    close(maps, by_hand)
    assert maps.shape == (7, 4, 4)
    assert "(it has 5)" in net.reason
    with pytest.raises(UsageError, match=r"does not support the method cam: its head looks at tokens"):
        net.check(Options(method="cam"))
    with pytest.raises(UsageError, match="takes pictures of 64 pixels only"):
        net.check(Options(method="gradcam", input_size=96))


@pytest.mark.parametrize("channels", [1, 3])
def test_classes_channels_and_positions_are_the_checkpoints(channels: int, tmp_path: Path) -> None:
    """Nobody has to say them."""
    module = created("test_vit", in_chans=channels, img_size=96, num_classes=3)
    net = loaded(module, "test_vit", tmp_path)
    x = torch.randn(2, channels, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(net.classify(x) if net.head else net.module(x), module(x))
    assert (net.spec.size, net.spec.channels, len(net.labels)) == (96, channels, 3)


def test_a_head_of_ones_own_on_timms_trunk(tmp_path: Path) -> None:
    """As on torchvision's: dropout and one linear layer are one function."""
    module = created("resnet18")
    module.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 4))
    net = loaded(module.eval(), "resnet18", tmp_path)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(net.classify(x), module(x), atol=1e-5, rtol=1e-5)
    assert "cam" in net.methods


PREPARED = {
    "resnet18": {},
    "a crop of bilinear": {"interpolation": "bilinear", "crop_pct": 0.875},
    "no cut": {"crop_pct": 1.0},
    "squash": {"crop_pct": 1.0, "crop_mode": "squash"},
    "squash, then crop": {"crop_pct": 0.9, "crop_mode": "squash"},
    "borders": {"crop_pct": 1.0, "crop_mode": "border", "mean": (0.5, 0.4, 0.3)},
    "borders, then crop": {"crop_pct": 0.8, "crop_mode": "border", "interpolation": "bilinear"},
    "a tall crop": {"input_size": (3, 192, 96), "crop_pct": 0.875},
    "a wide crop, uncut": {"input_size": (3, 96, 160), "crop_pct": 1.0, "interpolation": "bilinear"},
    "a tall squash, then crop": {"input_size": (3, 192, 96), "crop_pct": 0.9, "crop_mode": "squash"},
    "tall borders": {"input_size": (3, 192, 96), "crop_pct": 0.9, "crop_mode": "border"},
    "another size": {"input_size": (3, 160, 160), "crop_pct": 0.95, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
}


@pytest.mark.parametrize("kind", PREPARED)
@pytest.mark.parametrize("size", [(500, 375), (375, 501), (224, 224), (90, 300), (343, 256)])
def test_pictures_are_prepared_as_timm_does(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    """Pixel for pixel, with timm's own transform made of its own configuration."""
    net = _with_config("test_resnet", PREPARED[kind], tmp_path)
    config = timm.data.resolve_data_config(
        {}, pretrained_cfg={**timm.get_pretrained_cfg("test_resnet").to_dict(), **PREPARED[kind]}
    )
    picture = photo(*size)
    found = prepare(encoded(picture, "PNG"), Options(), net.spec, Limits())
    plain = timm.data.create_transform(**config, normalize=False)(picture)
    np.testing.assert_array_equal(found.pixels, plain.permute(1, 2, 0).numpy())
    whole = timm.data.create_transform(**config)(picture)
    torch.testing.assert_close(to_input([found.pixels], net)[0], whole, atol=1e-5, rtol=1e-5)


def _with_config(name: str, changed: dict[str, object], folder: Path) -> Network:
    module = created(name)
    save_for_hf(module, folder, model_config={"pretrained_cfg": {**module.pretrained_cfg, **changed}})
    return load_network(architecture_in(folder) or "", weights=folder, device=CPU)


def test_a_folder_that_timm_wrote(tmp_path: Path) -> None:
    """Architecture and the names of the classes are in it."""
    module = created("test_resnet", num_classes=3)
    save_for_hf(module, tmp_path, model_config={"label_names": ["cat", "dog", "rabbit"]})
    assert architecture_in(tmp_path) == "timm:test_resnet"
    net = load_network("timm:test_resnet", weights=tmp_path, device=CPU)
    assert net.labels == ("cat", "dog", "rabbit")
    assert net.labels_from.endswith("label_names")


@pytest.mark.parametrize("name", ["hf-hub:somebody/net", "local-dir:/tmp", "resnet_18", "../resnet18"])
def test_only_timms_own_names_are_taken(name: str) -> None:
    """And not the addresses that timm would follow."""
    with pytest.raises(UsageError, match="unknown architecture 'timm:"):
        load_network(f"timm:{name}", device=CPU)


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained", "pretrained_cfg", "features_only", "cache_dir"])
def test_a_folder_cannot_have_timm_read_something_else(key: str, tmp_path: Path) -> None:
    """Its arguments describe the architecture alone."""
    save_for_hf(created("test_resnet"), tmp_path, model_args={key: str(tmp_path / "other.pth")})
    with pytest.raises(ModelError, match=f"model_args holds {key}"):
        load_network("timm:test_resnet", weights=tmp_path, device=CPU)


def test_published_weights_are_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in its cache on this machine; without them the message says what to do."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"timm/test_resnet\.r160_in1k \(.*--weights FILE"):
        load_network("timm:test_resnet", device=CPU)
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40)
    (folder / "snapshots" / ("a" * 40)).mkdir(parents=True)
    module = created("test_resnet", num_classes=1000)
    save_file(module.state_dict(), folder / "snapshots" / ("a" * 40) / "model.safetensors")
    net = load_network("timm:test_resnet", device=CPU)
    x = torch.randn(1, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(net.classify(x), module(x), atol=1e-5, rtol=1e-5)
    assert net.labels[0] == "tench"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endpoint", "reason"), [("silent", "no answer within 5 s"), ("nowhere", r"finds no host hub\.invalid")]
)
def test_a_hub_that_is_away_is_given_up_soon(
    endpoint: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library itself would try for half a minute."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        where = f"http://127.0.0.1:{silent.getsockname()[1]}" if endpoint == "silent" else "https://hub.invalid"
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", where + "/{repo_id}/{filename}")
        began = time.monotonic()
        with pytest.raises(
            ModelError, match=rf"cannot download .* \(.*{reason}.*\): give your own with --weights FILE"
        ):
            load_network("timm:test_resnet", device=CPU)
    assert time.monotonic() - began < 10


def test_a_data_configuration_that_is_none_says_so(tmp_path: Path) -> None:
    """It comes with a stranger's weights, and must not end a worker with a trace."""
    save_for_hf(created("test_resnet"), tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": "test_resnet", "pretrained_cfg": "x"}')
    with pytest.raises(ModelError, match="pretrained_cfg is 'x'; expected a table"):
        load_network("timm:test_resnet", weights=tmp_path, device=CPU)
