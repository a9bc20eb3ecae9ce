"""Logits → classes, ranks, probabilities."""

import torch
from torch import Tensor


def top_k(logits: Tensor, k: int) -> Tensor:
    """The k classes with the highest logits, best first: (N, C) → (N, k) int64.

    Equal logits are ordered by class index, which `torch.topk` does not promise.
    """
    return torch.sort(logits, dim=1, descending=True, stable=True).indices[:, :k]


def ranks(logits: Tensor, classes: Tensor) -> Tensor:
    """The true rank, from 1, of each asked-for class: logits (N, C), classes (N, k) → (N, k) int64.

    The same order as `top_k`: ahead of a class are those with a higher logit, and of the equal ones those
    with a lower index.
    """
    own = logits.gather(1, classes).unsqueeze(2)  # (N, k, 1)
    index = torch.arange(logits.shape[1], device=logits.device)
    others = logits.unsqueeze(1)  # (N, 1, C)
    ahead = (others > own) | ((others == own) & (index < classes.unsqueeze(2)))
    return ahead.sum(dim=2) + 1
