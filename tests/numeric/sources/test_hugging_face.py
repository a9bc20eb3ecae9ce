"""Folders as transformers writes them, with random weights: camq's answers are the network's own, run by hand."""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from shared.contract import Options
from shared.errors import ModelError, UsageError
from tests.numeric.by_hand import answers, close, gradcam_by_hand
from tests.numeric.networks import CPU
from tests.numeric.pictures import encoded, photo
from worker.core.engine.choice import engine_for
from worker.core.engine.engine import to_input
from worker.core.model.network import Network, load_network
from worker.core.picture.preprocess import prepare
from worker.core.sources.folder import architecture_in
from worker.core.types import Limits

_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 64,
    "patch_size": 16,
}
_STAGES = {"hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 1]}


def _classifier(module: PreTrainedModel) -> nn.Linear:
    linear = module.classifier
    assert isinstance(linear, nn.Linear)
    return linear


#: A network of each kind; what closed forms multiply, if they have one; the layer and its tokens without position.
CLOSED: dict[str, tuple[Callable[[], PreTrainedModel], Callable[[PreTrainedModel], nn.Linear]]] = {
    "ResNet": (lambda: _made("ResNet", embedding_size=16, layer_type="basic", **_STAGES), lambda m: m.classifier[1]),
    "RegNet": (lambda: _made("RegNet", groups_width=8, **_STAGES), lambda m: m.classifier[1]),
    "Swin": (lambda: _made("Swin", embed_dim=16, depths=[1, 1], num_heads=[1, 2], image_size=112), _classifier),
    "MobileNetV2": (lambda: _made("MobileNetV2", depth_multiplier=0.35), _classifier),
    "Segformer": (lambda: _made("Segformer"), _classifier),
    "Siglip": (lambda: _made("Siglip", vision_config=_SMALL), _classifier),
}
OPEN: dict[str, tuple[Callable[[], PreTrainedModel], str, int]] = {
    "ViT": (lambda: _made("ViT", **_SMALL), "vit.layers.2.layernorm_before", 1),
    "DeiT": (lambda: _made("DeiT", **_SMALL), "deit.layers.2.layernorm_before", 2),
    "Dinov2WithRegisters": (
        lambda: _made("Dinov2WithRegisters", num_register_tokens=4, **_SMALL),
        "dinov2_with_registers.layernorm",
        5,
    ),
    "Beit": (lambda: _made("Beit", **_SMALL), "beit.layernorm", 1),
    "ConvNext": (lambda: _made("ConvNext", **_STAGES), "convnext.encoder.stages.3", 0),
}


def _made(kind: str, **settings: object) -> PreTrainedModel:
    torch.manual_seed(0)
    names = {0: "cat", 1: "dog", 2: "rabbit"}
    config = getattr(transformers, f"{kind}Config")(
        id2label=names, label2id={name: index for index, name in names.items()}, **settings
    )
    module: PreTrainedModel = getattr(transformers, f"{kind}ForImageClassification")(config)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.4, 1.6)
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.2)  # theirs is so small that every answer would be the bias
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -0.5, 0.5)
    return module.eval()


def saved(module: PreTrainedModel, folder: Path, **changed: object) -> Path:
    """As `save_pretrained` writes it, its config.json changed."""
    module.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    return folder


def loaded(folder: Path) -> Network:
    return load_network(architecture_in(folder) or "", weights=folder, device=CPU)


@pytest.mark.parametrize("kind", CLOSED)
def test_a_pooled_network_has_every_method(kind: str, tmp_path: Path) -> None:
    """The mean of each map plus the bias is the logit that the class gives by itself; the maps are W · A."""
    make, linear_of = CLOSED[kind]
    module = make()
    net = loaded(saved(module, tmp_path))
    logits, maps, x = answers(net, "cam")
    caught: list[torch.Tensor] = []
    handle = module.get_submodule(net.target_layer).register_forward_hook(lambda _, __, out: caught.append(out))
    with torch.no_grad():
        expected = module(x).logits[0]
    handle.remove()
    linear = linear_of(module)
    features = net.as_map(net.target_layer, caught[0])[0]
    close(logits.numpy(), expected.numpy())
    close(maps, torch.einsum("ck,khw->chw", linear.weight.detach(), features).numpy())
    close(maps.mean((1, 2)) + linear.bias.detach().numpy(), expected.numpy())
    assert net.labels == ("cat", "dog", "rabbit")
    assert net.labels_from.endswith("config.id2label")


@pytest.mark.parametrize("kind", ["Swin", "Siglip"])
def test_maps_of_tokens_run_in_the_inference_library(kind: str, tmp_path: Path) -> None:
    """Exported with the hook: for any number of pictures, and proven to be the same."""
    warned: list[str] = []
    engine = engine_for(loaded(saved(CLOSED[kind][0](), tmp_path)), 3, warned.append, "onnxruntime")
    engine.warm_up()
    assert engine.name.startswith("onnxruntime")
    assert warned == []


@pytest.mark.parametrize("kind", OPEN)
def test_gradcam_is_that_by_hand(kind: str, tmp_path: Path) -> None:
    """By the grid of the patches, without class, distillation and register tokens."""
    make, layer, special = OPEN[kind]
    if kind == "DeiT":  # with the teacher's token it is a class of its own
        torch.manual_seed(0)
        config = transformers.DeiTConfig(num_labels=3, **_SMALL)
        module: PreTrainedModel = transformers.DeiTForImageClassificationWithTeacher(config).eval()
    else:
        module = make()
    net = loaded(saved(module, tmp_path))
    logits, maps, x = answers(net, "gradcam")
    expected, by_hand = gradcam_by_hand(module, layer, x, special)
    close(logits.numpy(), expected.numpy())
    close(maps, by_hand)
    assert (net.target_layer, net.methods) == (layer, ("gradcam", "hirescam", "layercam", "finercam"))
    assert net.reason


def test_several_labels_for_a_picture_are_sigmoids(tmp_path: Path) -> None:
    """As the folder's configuration says of its training."""
    net = loaded(saved(_made("ViT", problem_type="multi_label_classification", **_SMALL), tmp_path))
    assert net.outputs == "sigmoid"


def test_names_that_nobody_gave_are_none(tmp_path: Path) -> None:
    """LABEL_0 is a placeholder of transformers."""
    module = _made("ViT", **_SMALL)
    folder = saved(module, tmp_path, id2label={str(index): f"LABEL_{index}" for index in range(3)})
    assert loaded(folder).labels == ("class 0", "class 1", "class 2")


def test_weights_in_torchs_own_format_are_read_too(tmp_path: Path) -> None:
    """By camq, as any checkpoint; under the names of an older release."""
    module = _made("ViT", **_SMALL)
    saved(module, tmp_path)
    from safetensors.torch import load_file

    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    net = loaded(tmp_path)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net.module(x), module(x).logits)


PROCESSORS: dict[str, Callable[[], object]] = {
    "ViT": transformers.ViTImageProcessorPil,
    "DeiT": transformers.DeiTImageProcessorPil,
    "ConvNext, cut": lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": 224}),
    "ConvNext, whole": lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": 384}),
    "Bit": lambda: transformers.BitImageProcessorPil(size={"shortest_edge": 256}),
    "MobileNetV2": transformers.MobileNetV2ImageProcessorPil,
    "EfficientNet": lambda: transformers.EfficientNetImageProcessorPil(rescale_offset=True, rescale_factor=1 / 127.5),
    "PoolFormer": transformers.PoolFormerImageProcessorPil,
    "Levit": transformers.LevitImageProcessorPil,
    "not normalised": lambda: transformers.ViTImageProcessorPil(do_normalize=False),
    "not square": lambda: transformers.ViTImageProcessorPil(size={"height": 160, "width": 224}),
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_pictures_are_prepared_as_the_folders_processor_does(kind: str, tmp_path: Path) -> None:
    """The network's input is what transformers' own processor makes of the picture."""
    processor = PROCESSORS[kind]()
    saved(_made("ResNet", embedding_size=16, layer_type="basic", **_STAGES), tmp_path)
    processor.save_pretrained(tmp_path)
    net = loaded(tmp_path)
    for size in ((500, 375), (301, 420), (343, 256), (500, 368)):
        picture = photo(*size)
        wanted = processor(picture, return_tensors="pt")["pixel_values"][0]
        found = prepare(encoded(picture, "PNG"), Options(), net.spec, Limits())
        assert found.pixels.shape[:2] == tuple(wanted.shape[1:])
        torch.testing.assert_close(to_input([found.pixels], net)[0], wanted, atol=2e-5, rtol=1e-5)


def test_what_camq_does_not_prepare_is_refused(tmp_path: Path) -> None:
    """And not shown to the network otherwise than in its training."""
    saved(_made("ResNet", embedding_size=16, layer_type="basic", **_STAGES), tmp_path)
    transformers.ViTImageProcessorPil(do_resize=False).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"preprocessor_config\.json: .*do_resize is False"):
        loaded(tmp_path)


# --- what a folder of strangers may not do


def test_no_code_of_a_folder_runs(tmp_path: Path) -> None:
    """`auto_map` and an attention of somebody's are the two ways in which transformers would fetch or import some."""
    marker = tmp_path / "ran"
    module = _made("ViT", **_SMALL)
    folder = saved(
        module,
        tmp_path / "folder",
        auto_map={"AutoModelForImageClassification": "mine.Net", "AutoConfig": "mine.Config"},
        attn_implementation="somebody/kernels",
        _attn_implementation="somebody/kernels",
        quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True},
    )
    (folder / "mine.py").write_text(f"open({str(marker)!r}, 'w')\nclass Net: ...\nclass Config: ...\n")
    transformers.ViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoImageProcessor": "mine.Net"}}))
    net = loaded(folder)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net.module(x), module(x).logits)
    assert not marker.exists()
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"architectures": ["Net"]}, "names Net of model_type 'vit', which transformers .* does not have"),
        ({"architectures": ["ViTForImageClassification"], "model_type": "mine"}, "of model_type 'mine'"),
        ({"architectures": ["AutoModel"]}, "names AutoModel"),
        ({"architecture": "python:os:getcwd", "model_type": None}, "unknown architecture 'timm:python:os:getcwd'"),
        ({"architectures": None}, "names no network"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, and no network has more than 1,000"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
        ({"hidden_size": 65536, "intermediate_size": 262144}, "described as a network of [0-9,]+ numbers, but"),
    ],
)
def test_a_folder_that_describes_something_else_is_refused(
    changed: dict[str, object], reason: str, tmp_path: Path
) -> None:
    """Before anything of its size is built."""
    folder = saved(_made("ViT", **_SMALL), tmp_path, **changed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((ModelError, UsageError), match=reason):
        loaded(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    """With what is missing."""
    folder = saved(_made("ViT", **_SMALL), tmp_path, num_hidden_layers=4)
    with pytest.raises(ModelError, match=r"do not fit transformers:ViTForImageClassification: missing: vit\.layers\.3"):
        loaded(folder)


def test_a_class_without_its_folder_is_a_usage_error(tmp_path: Path) -> None:
    """Its weights alone say too little."""
    with pytest.raises(UsageError, match=r"takes as its weights a folder that holds config\.json"):
        load_network("transformers:ViTForImageClassification", device=CPU)


def test_maps_of_flipped_channels(tmp_path: Path) -> None:
    """MobileViT sees blue, green, red."""
    module = _made("MobileViT", image_size=64, hidden_sizes=[48, 64, 80], neck_hidden_sizes=[8, 16, 24, 32, 40, 48, 64])
    saved(module, tmp_path)
    processor = transformers.MobileViTImageProcessorPil(
        size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}
    )
    processor.save_pretrained(tmp_path)
    net = loaded(tmp_path)
    picture = photo(200, 150)
    found = prepare(encoded(picture, "PNG"), Options(), net.spec, Limits())
    with torch.no_grad():
        expected = module(processor(picture, return_tensors="pt")["pixel_values"]).logits
        close(net.module(to_input([found.pixels], net)).numpy(), expected.numpy())
    assert np.abs(expected.numpy()).max() > 1e-3
