"""The names of the architectures, so that a producer can refuse a mistyped one without importing torch.

EfficientNet-Lite and torchvision's classification networks. A test checks that the worker knows the same ones.
"""

import re
from pathlib import Path

from shared.checks.model_files import CONFIG
from shared.errors import UsageError
from shared.text import nearest

_WORDS = """
efficientnet_lite0 alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161
densenet169 densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4
efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet
inception_v3 maxvit_t mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large
mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf
regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf
regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext101_64x4d
resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0
squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn
vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2
"""
NAMES: tuple[str, ...] = tuple(_WORDS.split())
#: What else may stand there is an address or a path, which only the worker can judge.
_PLAIN = re.compile(r"[\w.-]+")
#: How files of weights end.
_WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors", ".bin", ".tar")


def check_architecture(name: str) -> None:
    """UsageError, with what was meant, for a plain name that is no architecture's."""
    if name.lower().endswith(_WEIGHTS):
        raise UsageError(
            f"{name} is a file of weights, not a model: run `camq inspect {name} --write mine.toml`, "
            "and give mine.toml, or name the architecture, and the file with --weights"
        )
    if _PLAIN.fullmatch(name) and name not in NAMES and not name.lower().endswith(".toml"):
        close = nearest(name, NAMES)
        hint = f"did you mean {' or '.join(close)}?" if close else "any torchvision classification network will do"
        if (Path(name) / CONFIG).is_file():
            hint = f"for the folder of that name write ./{name}"
        elif (file := Path(name).with_suffix(".toml")).is_file():
            hint = f"did you mean the model file {file}?"
        raise UsageError(f"unknown model {name!r}: {hint}")
