"""torchcam and pytorch-grad-cam as their manuals use them, batched, and a user's loop over the latter."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchcam.methods import CAM

from bench import timing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYER, HEAD = "layer4", "fc"


def to_input(pixels: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """uint8 RGB pictures (S, S, 3) as the network wants them."""
    stacked = torch.from_numpy(np.stack(pixels)).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(each, device=device).view(3, 1, 1) for each in (MEAN, STD))
    return (stacked - mean) / std


def torchcam(network: nn.Module, pixels: Sequence[np.ndarray], k: int, at_least_s: float = 2.0) -> Callable[[], float]:
    """Images per second: one forward, then one call per rank (its normalisation leaves the maps at 7x7)."""
    inputs = to_input(pixels, _device(network))

    def measure() -> float:
        extractor = CAM(network, target_layer=LAYER, fc_layer=HEAD)

        def work() -> int:
            with torch.inference_mode():
                logits = network(inputs)
                classes = logits.topk(k).indices
                for rank in range(k):
                    extractor(classes[:, rank].tolist(), logits)
            return len(inputs)

        try:
            work()
            return timing.rate(work, at_least_s)
        finally:
            extractor.remove_hooks()

    return measure


def grad_cam(network: nn.Module, pixels: Sequence[np.ndarray], k: int, at_least_s: float = 2.0) -> Callable[[], float]:
    """Images per second: a forward and a backward per rank (its maps come at the size of the input)."""
    inputs = to_input(pixels, _device(network))

    def measure() -> float:
        with GradCAM(model=network, target_layers=[network.get_submodule(LAYER)]) as method:

            def work() -> int:
                maps_of(method, network, inputs, k)
                return len(inputs)

            work()
            return timing.rate(work, at_least_s)

    return measure


def maps_of(method: GradCAM, network: nn.Module, inputs: Tensor, k: int) -> list[np.ndarray]:
    """The maps (N, 224, 224) of each rank. For k = 1 the library finds the class by itself, in the same forward."""
    if k == 1:
        return [method(input_tensor=inputs, targets=None)]
    with torch.inference_mode():
        classes = network(inputs).topk(k).indices
    return [
        method(input_tensor=inputs, targets=[ClassifierOutputTarget(c) for c in classes[:, rank].tolist()])
        for rank in range(k)
    ]


def loop(network: nn.Module, files: Sequence[Path], out: Path, k: int) -> Callable[[], float]:
    """Pictures per second of a script: for each file decode, explain, draw, write k overlays of 224 pixels."""

    def measure() -> float:
        with GradCAM(model=network, target_layers=[network.get_submodule(LAYER)]) as method:
            started = timing.seconds(lambda: [_one(method, network, file, out, k) for file in files])
        return len(files) / started

    return measure


def _one(method: GradCAM, network: nn.Module, file: Path, out: Path, k: int) -> None:
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
    maps = maps_of(method, network, to_input([pixels], _device(network)), k)
    for rank, values in enumerate(maps, 1):
        overlay = show_cam_on_image(pixels.astype(np.float32) / 255, values[0], use_rgb=True, image_weight=0.5)
        cv2.imwrite(str(out / f"{file.stem}-{rank}.jpg"), cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
