"""The two heads whose maps have a closed form: what stands behind the activations of the target layer.

Shapes: activations A (N, K, h, w); classes (N, k) indices; C classes in all.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

#: How many channels are ablated at once: bounds the largest intermediate of `PooledConvHead.drops`.
ABLATION_CHUNK = 32


class Head(Protocol):
    """From activations to logits.

    In float64, since the differences that softmax and ablation take leave few digits of a float32; that costs
    nothing beside the network's forward.
    """

    @property
    def weight(self) -> Tensor:
        """(C, K)."""

    @property
    def bias(self) -> Tensor:
        """(C,)."""

    def logits(self, activations: Tensor) -> Tensor:
        """(N, C)."""

    def maps(self, activations: Tensor, classes: Tensor) -> Tensor:
        """What each position adds to the class's logit: (N, k, h, w)."""

    def mean_map(self, activations: Tensor, shares: Tensor) -> Tensor:
        """The maps of all classes averaged by `shares` (N, C): (N, h, w)."""

    def gradient(self, activations: Tensor, classes: Tensor) -> Tensor:
        """∂ logit / ∂ A: (N, k, K, h, w), or (N, k, K, 1, 1) where it is the same at every position."""

    def mean_gradient(self, activations: Tensor, shares: Tensor) -> Tensor:
        """The gradients of all classes averaged by `shares` (N, C): (N, K, h, w) or (N, K, 1, 1)."""

    def drops(self, activations: Tensor) -> Tensor:
        """By how much each logit of one image falls when a channel is zeroed: A (K, h, w) → (K, C)."""

    @property
    def outside(self) -> Tensor:
        """(C,): what a logit holds beside the mean of its map."""


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Global average pool, then one linear layer: logit_c = mean over h, w of (Σ_k W_ck A_k) + b_c."""

    weight: Tensor
    bias: Tensor

    def logits(self, activations: Tensor) -> Tensor:
        """W · mean(A) + b."""
        return F.linear(activations.mean((2, 3)), self.weight, self.bias)

    def maps(self, activations: Tensor, classes: Tensor) -> Tensor:
        """W_c · A at each position."""
        return torch.einsum("nkc,nchw->nkhw", self.weight[classes], activations)

    def mean_map(self, activations: Tensor, shares: Tensor) -> Tensor:
        """(Σ_j p_j W_j) · A."""
        return torch.einsum("nc,nchw->nhw", shares @ self.weight, activations)

    def gradient(self, activations: Tensor, classes: Tensor) -> Tensor:
        """W_c / (h·w): (N, k, K, 1, 1)."""
        positions = activations.shape[2] * activations.shape[3]
        return self.weight[classes][..., None, None] / positions

    def mean_gradient(self, activations: Tensor, shares: Tensor) -> Tensor:
        """Σ_j p_j W_j / (h·w): (N, K, 1, 1)."""
        positions = activations.shape[2] * activations.shape[3]
        return (shares @ self.weight)[..., None, None] / positions

    def drops(self, activations: Tensor) -> Tensor:
        """W_ck mean(A_k)."""
        return activations.mean((1, 2)).unsqueeze(1) * self.weight.T

    @property
    def outside(self) -> Tensor:
        """The bias."""
        return self.bias


@dataclass(frozen=True, eq=False)
class PooledConvHead:
    """SqueezeNet's head, a 1x1 convolution, ReLU, then the pool: logit_c = mean over h, w of relu(W_c · A + b_c).

    The bias is inside the map here, and the gradient is W_c / (h·w) where the ReLU is open, 0 elsewhere.
    """

    weight: Tensor
    bias: Tensor

    def logits(self, activations: Tensor) -> Tensor:
        """The mean of each class's map."""
        return self._all_maps(activations).mean((2, 3))

    def maps(self, activations: Tensor, classes: Tensor) -> Tensor:
        """relu(W_c · A + b_c) at each position."""
        maps = torch.einsum("nkc,nchw->nkhw", self.weight[classes], activations)
        return (maps + self.bias[classes][..., None, None]).relu()

    def mean_map(self, activations: Tensor, shares: Tensor) -> Tensor:
        """Σ_j p_j M_j."""
        return torch.einsum("nc,nchw->nhw", shares, self._all_maps(activations))

    def gradient(self, activations: Tensor, classes: Tensor) -> Tensor:
        """W_c / (h·w) where the class's map is positive: (N, k, K, h, w)."""
        return torch.einsum("nkc,nkhw->nkchw", self.weight[classes], self._open(self.maps(activations, classes)))

    def mean_gradient(self, activations: Tensor, shares: Tensor) -> Tensor:
        """Σ_j p_j times the gradient of logit j: (N, K, h, w)."""
        gates = self._open(self._all_maps(activations)) * shares[..., None, None]
        return torch.einsum("jc,njhw->nchw", self.weight, gates)

    def drops(self, activations: Tensor) -> Tensor:
        """The maps' mean less that of the maps without W_ck A_k, some channels at a time."""
        before = torch.einsum("ck,khw->chw", self.weight, activations) + self.bias[:, None, None]
        chunks = zip(torch.split(self.weight.T, ABLATION_CHUNK), torch.split(activations, ABLATION_CHUNK), strict=True)
        full = before.relu().mean((1, 2))
        return torch.cat(
            [
                full - (before - torch.einsum("kc,khw->kchw", rows, channels)).relu().mean((2, 3))
                for rows, channels in chunks
            ]
        )

    @property
    def outside(self) -> Tensor:
        """Nothing."""
        return torch.zeros_like(self.bias)

    def _all_maps(self, activations: Tensor) -> Tensor:
        return F.conv2d(activations, self.weight[..., None, None], self.bias).relu()

    @staticmethod
    def _open(maps: Tensor) -> Tensor:
        return (maps > 0).to(maps.dtype) / (maps.shape[2] * maps.shape[3])


def identity_error(head: Head, activations: Tensor, logits: Tensor) -> float:
    """How far `mean over h, w of map + bias` is from the logits, relative to the size of what is summed.

    This is the library-free truth of the maps (Zhou et al. 2016, section 2): if it holds for all classes of
    an image, the hook sits on the input of the pool and the weights are those of the head. NaN counts as inf.

    Relative to the largest of |logit| and Σ_k |W_ck| mean |A_k| + |b_c|: rounding grows with the summands, and where
    they cancel (one class whose logit is almost zero, SqueezeNet's closed ReLU) the logits alone would refuse it.
    """
    classes = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[0], -1)
    promised = head.maps(activations, classes).mean((2, 3)) + head.outside
    summands = F.linear(activations.abs().mean((2, 3)), head.weight.abs(), head.bias.abs())
    error = float((promised - logits).abs().max())
    scale = float(torch.maximum(logits.abs().max(), summands.max()))
    if not (math.isfinite(error) and math.isfinite(scale)):
        return math.inf
    return error / scale if error else 0.0
