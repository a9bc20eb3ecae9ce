"""Grad-CAM++."""

from torch import Tensor

from worker.core.maps.evidence import Evidence, weighted


def gradcam_plus_plus(evidence: Evidence) -> Tensor:
    """relu(Σ_k w_k A_k) with w_k = Σ_ij a_k relu(g_k) and a_k = g² / (2 g² + S_k g³), S_k = Σ_ij A_k: (N, k, h, w).

    Divided by g² this is Σ_ij relu(g) / (2 + S_k relu(g)): the paper's formula, without the epsilon that
    drowns g² in pytorch-grad-cam and without the lost division of torchcam.

    Chattopadhyay, Sarkar, Howlader, Balasubramanian: Grad-CAM++, WACV 2018, arXiv 1710.11063.
    """
    positive = evidence.gradient().relu()
    sums = evidence.activations.sum((2, 3))[:, None, :, None, None]  # (N, 1, K, 1, 1)
    weights = (positive / (2 + sums * positive)).mean((-2, -1)) * evidence.positions
    return weighted(weights, evidence.activations).relu()
