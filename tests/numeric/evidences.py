"""Evidence of a head alone: random activations with the logits that it makes of them."""

import math

import pytest
import torch

from worker.core.maps.evidence import Evidence, Target
from worker.core.model.head import Head, LinearHead, PooledConvHead

#: Images, channels, classes in all, and the side of a map.
N, K, C, SIDE = 3, 6, 7, 4
#: Two of each image.
CLASSES = torch.tensor([[2, 0], [5, 1], [6, 6]])
HEADS = pytest.mark.parametrize("kind", [LinearHead, PooledConvHead])
TARGETS = pytest.mark.parametrize("target", ["logit", "softmax"])


def head(kind: type[Head], seed: int = 0) -> Head:
    """Random weights."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(C, K, generator=generator, dtype=torch.float64)
    return kind(weight, torch.randn(C, generator=generator, dtype=torch.float64))  # type: ignore[call-arg]


def seen(kind: type[Head], target: Target, seed: int = 0) -> Evidence:
    """Random activations, some negative as behind a SiLU, with the logits of `head`."""
    generator = torch.Generator().manual_seed(seed + 100)
    activations = torch.rand(N, K, SIDE, SIDE, generator=generator, dtype=torch.float64) * 1.3 - 0.2
    its_head = head(kind, seed)
    return Evidence(its_head, activations, its_head.logits(activations), CLASSES, target, activations, math.nan, 1)  # type: ignore[arg-type]
