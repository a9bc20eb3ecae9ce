"""LayerCAM."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.core.maps.evidence import Evidence, weighted_everywhere

#: How far the fusion lifts what is weak in a layer's map: the paper's own.
GAMMA = 2.0


def layercam(evidence: Evidence) -> Tensor:
    """relu(Σ_k relu(g_k) A_k), each position weighted by its own positive gradient: (N, k, h, w).

    Jiang, Zhang, Hou, Cheng, Wei: LayerCAM, IEEE TIP 2021, doi 10.1109/TIP.2021.3089943.
    """
    return layer_from_gradient(evidence.gradient(), evidence.activations)


def layer_from_gradient(gradient: Tensor, activations: Tensor) -> Tensor:
    """The same from any gradient, (N, k, K, h, w), for instance autograd's."""
    return weighted_everywhere(gradient.relu(), activations).relu()


def fused(maps: Sequence[Tensor]) -> Tensor:
    """max over layers l of tanh(gamma M_l / max M_l), as large as the largest map: (N, k, h_l, w_l) → (N, k, h, w).

    Equation 9 and the fusion of the paper: maps of shallow layers are weak, and would not show beside the last one's.
    The smaller ones are stretched bilinearly (corners not aligned). A map that is positive nowhere adds nothing.
    """
    side = max(each.shape[2] for each in maps), max(each.shape[3] for each in maps)
    scaled = []
    for each in maps:
        peaks = each.amax((2, 3), keepdim=True)
        shares = torch.where(peaks <= 0, 0, each / peaks)  # NaN stays: the check of the answers finds it
        scaled.append(F.interpolate((GAMMA * shares).tanh(), side, mode="bilinear", align_corners=False))
    return torch.stack(scaled).amax(dim=0)
