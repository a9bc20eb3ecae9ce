"""Finer-CAM."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from worker.core.maps.evidence import Evidence, weighted

#: How much of the rivals is taken away, and how many of them there are: as the paper's own code has it.
GAMMA = 0.6
RIVALS = 3


def finercam(evidence: Evidence) -> Tensor:
    """M_c - gamma mean over d of M_d, the CAM less that of the classes d whose logits are nearest to c's: (N, k, h, w).

    It shows what sets the class apart from those that it is most easily taken for. Signed, as the CAM is: a negative
    value speaks for the rivals. On a linear head its mean over the map is y_c - b_c - gamma mean (y_d - b_d).

    Zhang, Gu, Chowdhury, Mai, Carlyn, Berger-Wolf, Su, Chao: Finer-CAM, CVPR 2025, arXiv 2501.11309.
    """
    return contrasted(
        lambda classes: replace(evidence, classes=classes).class_maps(), evidence.logits, evidence.classes
    )


def contrasted(values: Callable[[Tensor], Tensor], logits: Tensor, classes: Tensor) -> Tensor:
    """v_c - gamma mean over d of v_d, where `values` maps classes (N, n) to theirs, (N, n, …): (N, k, …).

    `logits` (N, C) say which classes d are the rivals of each of `classes` (N, k). A network of one class has none.
    """
    own, others = values(classes), rivals(logits, classes)
    if not others.shape[2]:
        return own
    theirs = values(others.flatten(1))
    return own - GAMMA * theirs.view(*others.shape, *theirs.shape[2:]).mean(dim=2)


def rivals(logits: Tensor, classes: Tensor) -> Tensor:
    """The other classes whose logits are nearest to each class's, the nearest first: (N, C), (N, k) → (N, k, r).

    Up to `RIVALS` of them; of equally near ones the lower index.
    """
    logits = logits.detach()
    distances = (logits.unsqueeze(1) - logits.gather(1, classes).unsqueeze(2)).abs()
    distances.scatter_(2, classes.unsqueeze(2), float("inf"))
    nearest = [classes.new_empty(*classes.shape, 0)]
    for _ in range(min(RIVALS, logits.shape[1] - 1)):  # of equal ones topk promises no order, and argmin the first
        nearest.append(distances.argmin(dim=2, keepdim=True))
        distances.scatter_(2, nearest[-1], float("inf"))
    return torch.cat(nearest, dim=2)


def signed_from_gradient(gradient: Tensor, activations: Tensor) -> Tensor:
    """Of a gradient by autograd, (N, k, K, h, w), of what `contrasted` makes of the scores: Σ_k mean(g_k) A_k.

    On a linear head, whose gradient is the same at every position, it is the closed form divided by h·w.
    """
    return weighted(gradient.mean((-2, -1)), activations)
