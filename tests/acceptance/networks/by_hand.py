"""A network as somebody brings it, and what it answers when it is run by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional as F

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)
FIVE = ("cat", "dog", "rabbit", "tortoise", "canary")


@dataclass
class Form:
    """`text` is its model file, `see` makes the network's input (1, K, H, W) of a picture without camq."""

    text: str
    module: nn.Module
    layer: nn.Module
    see: Callable[[Image.Image], Tensor]
    labels: tuple[str, ...] = FIVE
    method: str = "cam"
    outputs: str = "softmax"
    picture: str = "photo.png"
    within: float = 1e-5  # of logits and maps, relative to the largest of them
    special: int | None = None  # tokens before those of the picture's patches, where the layer puts out tokens
    env: Mapping[str, str] = field(default_factory=dict)

    def by_hand(self, picture: Image.Image) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Logits and maps of all classes: Grad-CAM, or for a head that is linear in the mean over positions its closed
        form, in which each gradient is the class's weight by the number of positions."""
        caught: list[Tensor] = []
        handle = self.layer.register_forward_hook(lambda _, __, out: caught.append(out))
        output = self.module(self.see(picture).requires_grad_())
        handle.remove()
        logits = getattr(output, "logits", output)[0]
        maps = []
        for logit in logits:
            [slopes], values = torch.autograd.grad(logit, caught[0], retain_graph=True)[0], caught[0][0]
            if self.special is not None:
                side = round((len(values) - self.special) ** 0.5)
                values, slopes = (each[self.special :].T.reshape(-1, side, side) for each in (values, slopes))
            weights = slopes.mean((1, 2), keepdim=True)
            found = (weights * values).sum(0)
            maps.append(found * found.numel() if self.method == "cam" else found.relu())
        return logits.detach().numpy(), torch.stack(maps).detach().numpy()


def normalised(pixels: Tensor | Image.Image, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(1, K, H, W)."""
    values = pixels if isinstance(pixels, Tensor) else F.pil_to_tensor(pixels)
    return F.normalize(values.float() / 255, mean, std)[None]


def squashed(size: int = 64, numbers: Any = IMAGENET) -> Callable[[Image.Image], Tensor]:
    return lambda picture: normalised(F.resize(picture, [size, size]), *numbers)
