"""Layers' outputs as maps: channels first, whatever the layer puts them; and no map where there is none."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import MaxVit, SwinTransformer
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.swin_transformer import (
    PatchMerging,
    PatchMergingV2,
    SwinTransformerBlock,
    SwinTransformerBlockV2,
)

from shared.contract import Options
from shared.errors import ImageError, UsageError
from tests.numeric.networks import explained, network, pictures
from worker.core.engine.engine import Engine
from worker.core.model import architectures

#: Small ones of torchvision's own classes. Sides of maps are powers of two here, and channels multiples of three.
SMALL = {
    "convnext_tiny": lambda: ConvNeXt([CNBlockConfig(12, 24, 1), CNBlockConfig(24, None, 1)], num_classes=3),
    "swin_t": lambda: swin(SwinTransformerBlock, PatchMerging),
    "swin_v2_t": lambda: swin(SwinTransformerBlockV2, PatchMergingV2),
    "maxvit_t": lambda: MaxVit(
        input_size=(64, 64),
        stem_channels=12,
        partition_size=4,
        block_channels=[12, 24],
        block_layers=[1, 1],
        head_dim=6,
        stochastic_depth_prob=0.0,
        num_classes=3,
    ),
}


def swin(block: type[nn.Module], merging: type[nn.Module]) -> nn.Module:
    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=12,
        depths=[1, 1],
        num_heads=[3, 3],
        window_size=[4, 4],
        num_classes=3,
        block=block,  # type: ignore[arg-type]
        downsample_layer=merging,  # type: ignore[arg-type]
    )


def outputs(module: nn.Module) -> dict[str, Tensor]:
    """What each layer that runs once or more puts out for a picture of 64 pixels, the last time."""
    found: dict[str, Tensor] = {}
    for name, layer in module.named_modules():
        layer.register_forward_hook(lambda _m, _i, output, name=name: found.__setitem__(name, output))  # type: ignore[misc]
    with torch.inference_mode():
        module.eval()(torch.rand(1, 3, 64, 64))
    return {name: output for name, output in found.items() if name and isinstance(output, Tensor)}


@pytest.mark.parametrize("name", SMALL)
def test_a_layer_gives_a_map_of_the_picture_or_is_refused(name: str):
    """Every layer of the families that put their channels last or cut the picture into windows."""
    maps, refused = {}, {}
    for layer, output in outputs(SMALL[name]()).items():
        try:
            maps[layer] = architectures.as_map(name, layer, output)
        except UsageError as error:
            refused[layer] = str(error)
    for layer, each in maps.items():
        _, channels, height, width = each.shape
        squeezed = "squeeze" in layer  # whose few channels see no place
        assert height == width, layer
        assert squeezed or (channels % 3 == 0 and height in (1, 2, 4, 8, 16, 32)), (layer, tuple(each.shape))
    inner = [layer for layer in refused if not layer.startswith(("classifier", "head", "flatten"))]
    assert all("_attention." in layer or "cpb_mlp" in layer for layer in inner)
    assert bool(inner) == (name in ("swin_v2_t", "maxvit_t"))
    assert len(maps) > 20


def test_channels_that_lie_last_are_put_first():
    """A square of channels and places would not tell; the values do."""
    last = torch.arange(2 * 4 * 4 * 4.0).view(2, 4, 4, 4)
    first = last.permute(0, 3, 1, 2)
    for name, layer, expected in [
        ("convnext_tiny", "features.7.2.block.0", last),
        ("convnext_tiny", "features.7.2.block.3", first),
        ("convnext_tiny", "features.7.2.block.6", last),
        ("swin_t", "features.5.0.norm1", first),
        ("swin_t", "features.0.0", last),
        ("swin_v2_b", "norm", first),
        ("resnet18", "layer4", last),
    ]:
        assert torch.equal(architectures.as_map(name, layer, last), expected), (name, layer)


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("resnet18", "layer4", (1, 3, 3, 768)),
        ("resnet18", "fc", (1, 10)),
        ("maxvit_t", "blocks.0.layers.0.layers.grid_attention.partition_op", (1, 49, 64, 64)),
        ("swin_v2_t", "features.1.0.attn.cpb_mlp.2", (1, 15, 15, 3)),
    ],
)
def test_what_cannot_be_a_map_is_refused(name: str, layer: str, shape: tuple[int, ...]):
    """A square picture has square maps; windows and tables of positions only look like some."""
    with pytest.raises(UsageError, match=f"layer {layer}"):
        architectures.as_map(name, layer, torch.zeros(shape))


@pytest.mark.slow
def test_an_inner_layer_of_convnext_has_its_map():
    """Through the engine: three by three on a picture of 96 pixels."""
    engine = Engine(network("convnext_tiny", 10), 4)
    for place in range(7):
        wish = Options(method="gradcam", target_layer=f"features.7.2.block.{place}", top_k=1)
        [outcome] = engine.run(pictures(1, 96), [wish])
        assert explained(outcome)[0].values.shape == (3, 3)
    [outcome] = engine.run(pictures(1, 96), [Options(method="gradcam", target_layer="classifier", top_k=1)])
    assert isinstance(outcome, ImageError)
