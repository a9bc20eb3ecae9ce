"""HiResCAM."""

from torch import Tensor

from worker.core.maps.evidence import Evidence, weighted_everywhere


def hirescam(evidence: Evidence) -> Tensor:
    """relu(Σ_k g_k A_k), gradient times activation at each position: (N, k, h, w).

    Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations, 2020, arXiv 2011.08891.
    """
    return weighted_everywhere(evidence.gradient(), evidence.activations).relu()
