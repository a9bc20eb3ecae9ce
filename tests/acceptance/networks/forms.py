"""Networks as people bring them, each with the file that its trainer wrote and the model file for it."""

import argparse
import copy
import json
import pathlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import timm.data
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from tests.acceptance.networks.by_hand import FIVE, HALF, IMAGENET, Form, normalised, squashed
from tests.numeric import checkpoints
from tests.numeric.networks import random_module


def resnet(head: nn.Module | None = None, classes: int = 5, seed: int = 0) -> Any:
    module: Any = random_module("resnet18", classes, seed)
    if head is not None:
        module.fc = head
    return module.eval()


def lightning(folder: Path) -> Form:
    """LightningModule with a weighted loss, dropout before its head, the names of its classes among its settings."""
    torch.manual_seed(1)
    module = resnet(nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 5)))
    hyper = {"class_to_idx": {name: index for index, name in enumerate(FIVE)}, "root": pathlib.Path("/data")}
    state = {**checkpoints.prefixed(module.state_dict(), "model._orig_mod."), "criterion.weight": torch.ones(5)}
    torch.save({"state_dict": state, "hyper_parameters": hyper, "epoch": 3}, folder / "run.ckpt")
    text = 'weights = "run.ckpt"\n[input]\nsize = 64\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n'
    return Form(text, module, module.layer4, squashed(64, HALF))


def torchvisions_script(folder: Path, part: str = "") -> Form:
    """Raw weights beside averaged ones, an argparse.Namespace; labels in a text; the shorter side, then the centre."""
    raw, averaged = resnet(), resnet(seed=1)
    ema = {**checkpoints.prefixed(averaged.state_dict(), "module."), "n_averaged": torch.tensor(3)}
    saved = {"model": raw.state_dict(), "model_ema": ema, "args": argparse.Namespace(lr=0.1), "epoch": 3}
    torch.save(saved, folder / "model_89.pth")
    (folder / "names.txt").write_text("\n".join(FIVE))
    way = 'resize = "center-crop"\nresize_size = 73\ninterpolation = "bicubic"\n'
    text = f'weights = "model_89.pth{part}"\nlabels = "names.txt"\n[input]\nsize = 64\n{way}'

    def see(picture: Image.Image) -> Tensor:
        return normalised(F.center_crop(F.resize(picture, [73], InterpolationMode.BICUBIC), [64]), *IMAGENET)

    module = averaged if part else raw
    return Form(text, module, module.layer4, see)


def timms_script(folder: Path) -> Form:
    """timm's checkpoint of its own architecture, prepared as its configuration says; labels as {name: index}."""
    torch.manual_seed(2)
    module: Any = timm.create_model("test_resnet", num_classes=5).eval()
    nn.init.normal_(module.fc.weight, std=0.5)
    saved = {"state_dict": module.state_dict(), "arch": "test_resnet", "args": argparse.Namespace(model="test_resnet")}
    torch.save({**saved, "metric": np.float64(93.1)}, folder / "last.pth.tar")
    (folder / "names.json").write_text(json.dumps({name: index for index, name in enumerate(FIVE)}))
    text = 'architecture = "timm:test_resnet"\nweights = "last.pth.tar"\nlabels = "names.json"\n'
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=module))
    return Form(text, module, module.layer4, lambda picture: transform(picture)[None])


def own_loop(folder: Path) -> Form:
    """{"net": …} of a wrapped network, a head of two linear layers, labels as `index,name`, a letterbox."""
    torch.manual_seed(3)
    module = resnet(nn.Sequential(nn.Linear(512, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 5)))
    torch.save(
        {"net": checkpoints.prefixed(module.state_dict(), "module.encoder.backbone."), "acc": 93.1}, folder / "best.t7"
    )
    (folder / "names.csv").write_text("index,name\n" + "".join(f"{n},{name}\n" for n, name in enumerate(FIVE)))
    way = 'resize = "letterbox"\nfill = [1, 2, 3]\n'
    text = f'weights = "best.t7"\nlabels = "names.csv"\n[input]\nsize = 64\n{way}'

    def see(picture: Image.Image) -> Tensor:
        scale = 64 / max(picture.size)
        width, height = (round(side * scale) for side in picture.size)
        whole = Image.new("RGB", (64, 64), (1, 2, 3))
        whole.paste(F.resize(picture, [height, width]), ((64 - width) // 2, (64 - height) // 2))
        return normalised(whole, *IMAGENET)

    return Form(text, module, module.layer4, see, method="gradcam")


class _Concat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([nn.functional.adaptive_max_pool2d(x, 1), nn.functional.adaptive_avg_pool2d(x, 1)], 1)


def fastai(folder: Path) -> Form:
    """The maximum and the mean of each channel, batch normalisation between; a vocabulary beside the weights."""
    torch.manual_seed(4)
    body = nn.Sequential(*list(resnet().children())[:-2])
    layers = [_Concat(), nn.Flatten(), nn.BatchNorm1d(1024), nn.Dropout(0.25), nn.Linear(1024, 64, bias=False)]
    layers += [nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 5, bias=False)]
    module = nn.Sequential(body, nn.Sequential(*layers)).eval()
    torch.save({"model": module.state_dict(), "opt": {}, "vocab": list(FIVE)}, folder / "export.pth")
    return Form('weights = "export.pth"\n[input]\nsize = 64\n', module, body, squashed(), method="gradcam")


def small_pictures(folder: Path) -> Form:
    """A stem for small pictures, in bfloat16, in several files of safetensors; nobody named its classes."""
    torch.manual_seed(5)
    module = resnet()
    module.conv1, module.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    state = {key: t.bfloat16() if t.is_floating_point() else t for key, t in module.state_dict().items()}
    (folder / "shards").mkdir()
    names = sorted(state)
    parts = {"a.safetensors": names[:60], "b.safetensors": names[60:]}
    for file, own in parts.items():
        save_file({name: state[name] for name in own}, folder / "shards" / file)
    where = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(where))
    module.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    text = 'weights = "shards"\n[input]\nsize = 32\n'
    return Form(text, module.eval(), module.layer4, squashed(32), tuple(f"class {index}" for index in range(5)))


def one_grey_output(folder: Path) -> Form:
    """One channel, one output for two labels, half precision; resized as tensors without antialiasing."""
    torch.manual_seed(6)
    module = resnet(classes=1)
    module.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    state = {key: t.half() if t.is_floating_point() else t for key, t in module.state_dict().items()}
    torch.save({"params": state}, folder / "grey.pth")
    module.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    numbers = "mean = [0.4]\nstd = [0.3]\nantialias = false\n"
    text = f'weights = "grey.pth"\nlabels = ["healthy", "ill"]\n[input]\nsize = 64\n{numbers}'

    def see(picture: Image.Image) -> Tensor:
        grey = F.pil_to_tensor(picture.convert("L"))
        return normalised(F.resize(grey, [64, 64], antialias=False), (0.4,), (0.3,))

    # A level in a thousand is rounded the other way where a value lies in the middle of two.
    return Form(text, module.eval(), module.layer4, see, ("healthy", "ill"), outputs="sigmoid", within=1e-3)


def one_output_without_names(folder: Path) -> Form:
    """One prediction, of class 0, whose probability is a sigmoid."""
    module = resnet(nn.Linear(512, 1, bias=False))
    save_file(module.state_dict(), folder / "ONE.SAFETENSORS")
    text = 'weights = "ONE.SAFETENSORS"\n[input]\nsize = 64\n'
    return Form(text, module, module.layer4, squashed(), ("class 0",), outputs="sigmoid")


def fourteen_findings(folder: Path) -> Form:
    """Labels that stand by themselves, four channels, a tall input, pictures as they are stored."""
    torch.manual_seed(7)
    module = resnet(nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, 14)))
    nn.init.uniform_(module.fc[0].running_var, 0.5, 2)
    module.conv1 = nn.Conv2d(4, 64, 7, 2, 3, bias=False)
    names = tuple(f"finding {index}" for index in range(14))
    torch.save({"state_dict": checkpoints.prefixed(module.state_dict(), "densenet.")}, folder / "chest.pth.tar")
    listed = json.dumps(list(names))
    numbers = "mean = [0.5, 0.4, 0.3, 0.2]\nstd = [0.2, 0.3, 0.4, 0.5]\nexif = false\n"
    text = f'weights = "chest.pth.tar"\noutputs = "sigmoid"\nlabels = {listed}\n[input]\nsize = [96, 64]\n{numbers}'

    def see(picture: Image.Image) -> Tensor:
        pixels = F.pil_to_tensor(F.resize(picture, [96, 64]))
        opaque = torch.cat([pixels, torch.full_like(pixels[:1], 255)])
        return normalised(opaque, (0.5, 0.4, 0.3, 0.2), (0.2, 0.3, 0.4, 0.5))

    module = module.eval()
    return Form(text, module, module.layer4, see, names, outputs="sigmoid", picture="turned.jpg")


def hugging_face(folder: Path) -> Form:
    """A folder of `save_pretrained`: a vision transformer with its names and its processor."""
    torch.manual_seed(8)
    names = dict(enumerate(FIVE))
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.ViTConfig(id2label=names, image_size=64, patch_size=16, **sizes)
    module: Any = transformers.ViTForImageClassification(config).eval()
    nn.init.normal_(module.classifier.weight, std=0.5)
    processor = transformers.ViTImageProcessorPil(size={"height": 64, "width": 64})
    module.save_pretrained(folder / "vit")
    processor.save_pretrained(folder / "vit")
    layer = module.get_submodule("vit.layers.1.layernorm_before")

    def see(picture: Image.Image) -> Tensor:
        pixels: Tensor = processor(picture, return_tensors="pt")["pixel_values"]
        return pixels

    return Form('weights = "vit"\n', module, layer, see, method="gradcam", special=1)


def timms_transformer(folder: Path) -> Form:
    """A vision transformer of timm, as `save_checkpoint` writes it beside its average; names in a table."""
    torch.manual_seed(11)
    module: Any = timm.create_model("test_vit", num_classes=5).eval()
    nn.init.normal_(module.head.weight, std=0.5)
    other = {key: tensor + 1 for key, tensor in module.state_dict().items()}
    torch.save({"arch": "test_vit", "state_dict": module.state_dict(), "state_dict_ema": other}, folder / "vit.pth.tar")
    rows = [f"{index},{name},{10 * index}" for index, name in reversed([*enumerate(FIVE)])]
    (folder / "names.csv").write_text("\n".join(["index,name,images", *rows, ""]))
    text = 'architecture = "timm:test_vit"\nweights = "vit.pth.tar"\nlabels = "names.csv"\n'
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=module))
    layer = module.blocks[-1].norm1
    return Form(text, module, layer, lambda picture: transform(picture)[None], method="gradcam", special=1)


def timms_folder(folder: Path) -> Form:
    """A folder of `save_for_hf`, with its names, whose pictures stand between borders."""
    torch.manual_seed(9)
    module: Any = timm.create_model("test_resnet", num_classes=5).eval()
    nn.init.normal_(module.fc.weight, std=0.5)
    changed = {"crop_mode": "border", "crop_pct": 0.9, "input_size": (3, 96, 64), "mean": HALF[0], "std": HALF[1]}
    own = {**module.pretrained_cfg, **changed}
    save_for_hf(module, folder / "birds", model_config={"label_names": list(FIVE), "pretrained_cfg": own})
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=own))
    return Form('weights = "birds"\n', module, module.layer4, lambda picture: transform(picture)[None])


OWN_CODE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.act, self.head = nn.Conv2d(3, 6, 7, 8), nn.ReLU(), nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.act(self.body(x)).mean((2, 3)))
"""


def own_code(folder: Path) -> Form:
    """A class of the user's own, its weights behind a prefix; squashed, then cut, by another filter."""
    (folder / "mine.py").write_text(OWN_CODE)
    space: dict[str, Any] = {}
    exec(OWN_CODE, space)
    torch.manual_seed(10)
    module = space["Net"]().eval()
    nn.init.normal_(module.head.weight)
    torch.save(
        {"weights": checkpoints.prefixed(copy.deepcopy(module).state_dict(), "net."), "classes": list(FIVE)},
        folder / "mine.pth",
    )
    way = 'resize = "squash-crop"\nresize_size = [80, 72]\ninterpolation = "lanczos"\n'
    text = f'architecture = "python:mine:Net"\nweights = "mine.pth"\n[input]\nsize = 64\n{way}'

    def see(picture: Image.Image) -> Tensor:
        return normalised(F.center_crop(F.resize(picture, [80, 72], InterpolationMode.LANCZOS), [64]), *IMAGENET)

    return Form(text, module, module.act, see, env={"PYTHONPATH": str(folder)})


def averaged(folder: Path) -> Form:
    """The other copy in the same file."""
    return torchvisions_script(folder, "#ema")


FORMS: tuple[Callable[[Path], Form], ...] = (
    *(lightning, torchvisions_script, averaged, timms_script, own_loop, fastai, small_pictures),
    *(one_grey_output, one_output_without_names, fourteen_findings, hugging_face, timms_transformer, timms_folder),
    own_code,
)
