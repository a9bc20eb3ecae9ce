"""Checkpoints as trainers write them, and what is asked of one that was read."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from shared.contract import ModelFile
from tests.numeric.networks import CPU, inputs, random_module
from worker.core.model.network import Network, load_network

State = dict[str, Tensor]
NAMES = ["cat", "dog", "rabbit", "owl", "fox"]


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


@cache
def resnet(classes: int = 5, seed: int = 0) -> nn.Module:
    """A trained network stands in for by random statistics; in eval mode."""
    return random_module("resnet18", classes, seed).eval()


def state_of(module: nn.Module) -> State:
    return dict(module.state_dict())


def saved(value: object, folder: Path, name: str = "mine.pth") -> Path:
    torch.save(value, folder / name)
    return folder / name


def check(
    path: Path, module: nn.Module, name: str = "resnet18", x: Tensor | None = None, given: ModelFile | None = None
) -> Network:
    """The file's network answers as `module` run by hand, and its maps add up to the same logits."""
    net = load_network(name, weights=path, device=CPU, given=given)
    x = inputs(2) if x is None else x
    with torch.inference_mode():
        expected = module(x)
    logits, activations = net.forward(x)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    if net.head is not None:
        everyone = torch.arange(expected.shape[1]).expand(len(x), -1)
        maps = net.head.maps(activations.double(), everyone).mean((2, 3)) + net.head.outside
        torch.testing.assert_close(maps.float(), expected, rtol=1e-5, atol=1e-5)
    return net
