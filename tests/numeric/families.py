"""The architectures that are proven in whole or by a shallow member of their family."""

from collections.abc import Callable
from functools import partial

import pytest
from torch import nn
from torchvision.models import EfficientNet, ResNet
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.resnet import Bottleneck

slow = pytest.mark.slow


def resnet(**options: int) -> Callable[[int], nn.Module]:
    return lambda classes: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=classes, **options)  # type: ignore[arg-type]


QUALIFIED = [
    ("resnet18", "layer4", 96, 3),
    ("densenet121", "pool_input", 64, 2),
    ("mobilenet_v2", "features", 96, 3),
    pytest.param("efficientnet_b0", "features", 65, 3, marks=slow),
    ("shufflenet_v2_x0_5", "conv5", 96, 3),
    pytest.param("mnasnet0_5", "layers", 64, 2, marks=slow),
    ("squeezenet1_1", "features", 224, 13),
    pytest.param("googlenet", "inception5b", 64, 2, marks=slow),
    ("efficientnet_lite0", "pool_input", 224, 7),
    pytest.param("inception_v3", "Mixed_7c", 75, 1, marks=slow),
    pytest.param("regnet_y_400mf", "trunk_output", 64, 2, marks=slow),
    pytest.param("resnet50", "layer4", 64, 2, marks=slow),
    pytest.param("regnet_x_400mf", "trunk_output", 64, 2, marks=slow),
    pytest.param("resnext50_32x4d", "layer4", 64, 2, marks=slow),
    pytest.param("wide_resnet50_2", "layer4", 64, 2, marks=slow),
    pytest.param("efficientnet_v2_s", "features", 64, 2, marks=slow),
    pytest.param("squeezenet1_0", "features", 224, 13, marks=slow),
    pytest.param("swin_t", "permute", 64, 2, marks=slow),
    pytest.param("swin_v2_t", "permute", 64, 2, marks=slow),
]


#: Their layer, and how one with as many classes is built.
SHALLOW: dict[str, tuple[str, Callable[[int], nn.Module]]] = {
    "resnext50_32x4d": ("layer4", resnet(groups=32, width_per_group=4)),
    "wide_resnet50_2": ("layer4", resnet(width_per_group=96)),
    "efficientnet_v2_s": (
        "features",
        lambda classes: EfficientNet(
            [
                FusedMBConvConfig(1, 3, 1, 24, 24, 1),
                FusedMBConvConfig(4, 3, 2, 24, 48, 1),
                FusedMBConvConfig(4, 3, 2, 48, 64, 1),
                MBConvConfig(4, 3, 2, 64, 128, 1),
                MBConvConfig(6, 3, 2, 128, 160, 1),
            ],
            dropout=0.2,
            num_classes=classes,
            norm_layer=partial(nn.BatchNorm2d, eps=1e-3),
            last_channel=320,
        ),
    ),
}
