"""Grad-CAM."""

from torch import Tensor

from worker.core.maps.evidence import Evidence, weighted


def gradcam(evidence: Evidence) -> Tensor:
    """relu(Σ_k w_k A_k) with w_k the mean of the gradient over the map: (N, k, h, w).

    Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM, ICCV 2017, arXiv 1610.02391.
    """
    return from_gradient(evidence.gradient(), evidence.activations)


def from_gradient(gradient: Tensor, activations: Tensor) -> Tensor:
    """The same from any gradient, (N, k, K, h, w), for instance autograd's."""
    return weighted(gradient.mean((-2, -1)), activations).relu()
