"""The architectures whose maps are proven with every method."""

import pytest

#: Name, target layer, size of the input and of the map.
QUALIFIED = [
    ("resnet18", "layer4", 96, 3),
    ("shufflenet_v2_x0_5", "conv5", 96, 3),
    ("squeezenet1_1", "features", 224, 13),
    *(
        pytest.param(*each, marks=pytest.mark.slow)
        for each in [
            ("densenet121", "pool_input", 64, 2),
            ("mobilenet_v2", "features", 96, 3),
            ("efficientnet_b0", "features", 65, 3),
            ("mnasnet0_5", "layers", 64, 2),
            ("googlenet", "inception5b", 64, 2),
            ("efficientnet_lite0", "pool_input", 224, 7),
            ("inception_v3", "Mixed_7c", 75, 1),
            ("regnet_y_400mf", "trunk_output", 64, 2),
            ("resnet50", "layer4", 64, 2),
            ("regnet_x_400mf", "trunk_output", 64, 2),
            ("resnext50_32x4d", "layer4", 64, 2),
            ("wide_resnet50_2", "layer4", 64, 2),
            ("efficientnet_v2_s", "features", 64, 2),
            ("squeezenet1_0", "features", 224, 13),
            ("swin_t", "permute", 64, 2),
            ("swin_v2_t", "permute", 64, 2),
        ]
    ),
]
