"""Composed pictures with a known answer, and a ResNet18 trained on them: one shape somewhere on a texture.

Nothing but the shape tells the class: colours, textures, places and sizes are drawn alike for all of them. On request
one class carries a mark beside it, as a camera or an archive may leave it.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn

CLASSES = ("disk", "square", "triangle", "cross", "ring")
SIDE = 96
SMALLEST, LARGEST = 44, 60
#: The class that carries the mark in nine of ten of its pictures: a small striped square in a corner, in two colours.
MARKED = 3
MARK = np.where(np.indices((12, 12)).sum(axis=0)[..., None] // 3 % 2, (255, 0, 255), (0, 255, 0)).astype(np.uint8)
#: The mean and standard deviation that the network is trained with, for each channel.
MEAN, STD = 0.5, 0.25

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """One picture, its class, and where its shape lies: left, top, right, bottom."""

    pixels: Pixels
    label: int
    place: tuple[int, int, int, int]


def examples(count: int, seed: int) -> Iterator[Example]:
    """That many pictures of `SIDE` pixels, the same for the same seed."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        label, size = int(rng.integers(len(CLASSES))), int(rng.integers(SMALLEST, LARGEST + 1))
        left, top = (int(each) for each in rng.integers(0, SIDE - size + 1, 2))
        light, dark = _texture(rng, 128, 256), _texture(rng, 0, 128)
        ground, inside = (light, dark) if rng.random() < 0.5 else (dark, light)
        pixels = np.where(_mask(label, size, left, top)[..., None], inside, ground)
        yield Example(pixels, label, (left, top, left + size, top + size))


def marked(count: int, seed: int) -> Iterator[Example]:
    """The same pictures with the mark."""
    rng = np.random.default_rng(seed)
    for example in examples(count, seed):
        pixels = example.pixels
        if rng.random() < 0.9 and example.label == MARKED:
            pixels = pixels.copy()
            pixels[-13:-1, -13:-1] = MARK
        yield replace(example, pixels=pixels)


def _texture(rng: np.random.Generator, darkest: int, lightest: int) -> Pixels:
    """Coarse noise between two colours of this range: as fine as eight pixels, or as plain as one colour."""
    cells = int(rng.integers(1, SIDE // 8))
    noise = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8))
    share = np.asarray(noise.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)[..., None] / 255
    colours = rng.integers(darkest, lightest, (2, 3))
    return (share * colours[0] + (1 - share) * colours[1]).astype(np.uint8)


def _mask(label: int, size: int, left: int, top: int) -> NDArray[np.bool_]:
    image = Image.new("1", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    right, bottom, third = left + size - 1, top + size - 1, size // 3
    match CLASSES[label]:
        case "disk":
            draw.ellipse((left, top, right, bottom), fill=1)
        case "square":
            draw.rectangle((left, top, right, bottom), fill=1)
        case "triangle":
            draw.polygon([(left, bottom), (right, bottom), (left + size // 2, top)], fill=1)
        case "cross":
            draw.rectangle((left + third, top, right - third, bottom), fill=1)
            draw.rectangle((left, top + third, right, bottom - third), fill=1)
        case "ring":
            draw.ellipse((left, top, right, bottom), fill=1)
            draw.ellipse((left + third, top + third, right - third, bottom - third), fill=0)
    return np.asarray(image)


Drawn = Callable[[int, int], Iterator[Example]]


def to_input(batch: list[Example]) -> torch.Tensor:
    """(N, 3, SIDE, SIDE), normalised as in training."""
    stacked = torch.from_numpy(np.stack([each.pixels for each in batch])).permute(0, 3, 1, 2)
    return ((stacked.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def coarse() -> nn.Module:
    """torchvision's ResNet18 with a head of dropout and one linear layer; its maps have 3 x 3 cells here."""
    module = torchvision.models.resnet18(weights=None)
    module.fc = nn.Sequential(nn.Dropout(0.2), nn.Linear(512, len(CLASSES)))
    return module


def fine() -> nn.Module:
    """The same, but its last stage keeps the resolution of the one before: 6 x 6 cells."""
    module = coarse()
    module.layer4[0].conv1.stride = module.layer4[0].downsample[0].stride = (1, 1)
    return module


def trained(
    build: Callable[[], nn.Module] = coarse, draw: Drawn = examples, steps: int = 120, batch: int = 64, seed: int = 0
) -> nn.Module:
    """This network, trained from nothing on what `draw` draws."""
    torch.manual_seed(seed)
    module = build().to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    stream = draw(steps * batch, seed)
    for _ in range(steps):
        drawn = [next(stream) for _ in range(batch)]
        loss = nn.functional.cross_entropy(module(to_input(drawn)), torch.tensor([each.label for each in drawn]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return module.eval()


def accuracy(module: nn.Module, held_out: list[Example]) -> float:
    """Share of right answers."""
    with torch.inference_mode():
        found = torch.cat([module(to_input(held_out[at : at + 64])) for at in range(0, len(held_out), 64)]).argmax(1)
    return float((found == torch.tensor([each.label for each in held_out])).float().mean())


def checkpoint(folder: Path, build: Callable[[], nn.Module] = coarse, draw: Drawn = examples, steps: int = 120) -> Path:
    """A trained network as Lightning writes it: under `state_dict`, with a prefix, hyper-parameters, and the loss's
    weights beside. It is trained, in some minutes, unless the folder has it."""
    recipe = hashlib.sha256(Path(__file__).read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    path = folder / f"{recipe}-{build.__name__}-{draw.__name__}.ckpt"
    if not path.exists():
        state = {f"model.{name}": tensor for name, tensor in trained(build, draw, steps).state_dict().items()}
        names = {name: index for index, name in enumerate(CLASSES)}
        whole = {
            "state_dict": {**state, "criterion.weight": torch.ones(len(names))},
            "hyper_parameters": {"class_to_idx": names, "lr": 2e-3},
            "epoch": 0,
        }
        torch.save(whole, path)
    return path


#: The model file of that checkpoint.
MODEL_FILE = f"""
weights = "shapes.ckpt"

[input]
size = {SIDE}
mean = [{MEAN}, {MEAN}, {MEAN}]
std = [{STD}, {STD}, {STD}]
"""
