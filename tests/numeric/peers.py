"""The same maps by torchcam and grad-cam."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worker.core.model.network import Network

PICKED = 7


def peer_of(net: Network) -> nn.Module:
    """A copy that the peers may change: they switch modes, hook, and leave gradients on parameters."""
    return copy.deepcopy(net.module).requires_grad_()


def pgc_finish(maps: Tensor, size: int) -> np.ndarray:
    """pytorch-grad-cam's way from a raw map to the one it returns, in its order and with its epsilons."""
    return pgc_stretched(pgc_scaled(maps, size)).numpy()


def pgc_scaled(maps: Tensor, size: int) -> Tensor:
    """Of one layer, before its layers are averaged."""
    maps = pgc_stretched(maps.relu())
    return F.interpolate(maps[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]


def pgc_stretched(maps: Tensor) -> Tensor:
    """To 0..1."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (1e-7 + maps.amax((1, 2), keepdim=True))


def tc_finish(maps: Tensor) -> Tensor:
    """torchcam's normalisation."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (maps.amax((1, 2), keepdim=True) + 1e-8)


@contextmanager
def gradients() -> Iterator[None]:
    """The peers need them; ours run without."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield
