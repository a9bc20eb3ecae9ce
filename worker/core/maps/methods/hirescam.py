"""HiResCAM."""

from torch import Tensor

from worker.core.maps.evidence import Evidence, weighted_everywhere


def hirescam(evidence: Evidence) -> Tensor:
    """relu(Σ_k g_k A_k), gradient times activation at each position: (N, k, h, w).

    Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations, 2020, arXiv 2011.08891.
    """
    return hires_from_gradient(evidence.gradient(), evidence.activations)


def hires_from_gradient(gradient: Tensor, activations: Tensor) -> Tensor:
    """The same from any gradient, (N, k, K, h, w), for instance autograd's."""
    return weighted_everywhere(gradient, activations).relu()
