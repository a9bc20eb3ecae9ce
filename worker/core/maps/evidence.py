"""What every method computes from: the activations, the scores to explain, and the gradient between them.

Shapes: N images, k classes each, C classes in all, K channels of h x w positions. All in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from shared.contract import Outputs
from worker.core.model.head import Head

#: `softmax` is the old word for the probability, whatever makes it.
Target = Literal["logit", "probability", "softmax"]


def probabilities(logits: Tensor, outputs: Outputs) -> Tensor:
    """Of each class, (N, C): shares of one whole, or each label's own."""
    return logits.softmax(dim=1) if outputs == "softmax" else logits.sigmoid()


def target_scores(logits: Tensor, classes: Tensor, target: Target, outputs: Outputs = "softmax") -> Tensor:
    """What is explained, the logit or the probability of each class: (N, C), (N, k) → (N, k)."""
    return (logits if target == "logit" else probabilities(logits, outputs)).gather(1, classes)


@dataclass(frozen=True, eq=False)
class Evidence:
    """N images that one forward has seen, each with the k classes asked for.

    `activations` (N, K, h, w) of the target layer, `logits` (N, C), `classes` (N, k). `inputs` are the pictures
    (N, 3, S, S) as the network takes them, and `classify` maps such to logits: both for Score-CAM alone, which runs at
    most `batch_size` pictures at once.
    """

    head: Head
    activations: Tensor
    logits: Tensor
    classes: Tensor
    target: Target
    inputs: Tensor | None
    classify: Callable[[Tensor], Tensor]
    batch_size: int
    outputs: Outputs = "softmax"

    @property
    def scores(self) -> Tensor:
        """The targets' values: (N, k)."""
        return target_scores(self.logits, self.classes, self.target, self.outputs)

    @property
    def slope(self) -> Tensor:
        """Of a sigmoid at its value: p (1 - p), (N, k)."""
        return self.scores * (1 - self.scores)

    def class_maps(self) -> Tensor:
        """What each position adds to the target, (N, k, h, w).

        For the softmax it is what the position adds to first order, p_c (M_c - Σ_j p_j M_j) with the maps M
        of the logits; for a sigmoid p_c (1 - p_c) M_c.
        """
        own = self.head.maps(self.activations, self.classes)
        if self.target == "logit":
            return own
        if self.outputs == "sigmoid":
            return self.slope[..., None, None] * own
        shares = self.logits.softmax(dim=1)
        mean = self.head.mean_map(self.activations, shares).unsqueeze(1)
        return self.scores[..., None, None] * (own - mean)

    def gradient(self) -> Tensor:
        """∂ target / ∂ activations in closed form: (N, k, K, h, w), or (N, k, K, 1, 1) when constant over the map.

        Softmax: ∂ p_c = p_c (∂ y_c - Σ_j p_j ∂ y_j); sigmoid: ∂ p_c = p_c (1 - p_c) ∂ y_c.
        A sum over positions is `mean * positions`, whichever
        of the two shapes it has.
        """
        own = self.head.gradient(self.activations, self.classes)
        if self.target == "logit":
            return own
        if self.outputs == "sigmoid":
            return self.slope[..., None, None, None] * own
        shares = self.logits.softmax(dim=1)
        mean = self.head.mean_gradient(self.activations, shares).unsqueeze(1)
        return self.scores[..., None, None, None] * (own - mean)

    @property
    def positions(self) -> int:
        """h·w of the map."""
        return self.activations.shape[2] * self.activations.shape[3]


def weighted(weights: Tensor, activations: Tensor) -> Tensor:
    """Σ_k w_k A_k: weights (N, k, K) and activations (N, K, h, w) → (N, k, h, w)."""
    return torch.einsum("nkc,nchw->nkhw", weights, activations)


def weighted_everywhere(weights: Tensor, activations: Tensor) -> Tensor:
    """Σ_k w_k A_k with weights that may differ by position: (N, k, K, h | 1, w | 1) → (N, k, h, w)."""
    return torch.einsum("nkchw,nchw->nkhw", weights, activations)
