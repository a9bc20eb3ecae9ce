"""XGrad-CAM."""

import torch
from torch import Tensor

from worker.core.maps.evidence import Evidence, weighted


def xgradcam(evidence: Evidence) -> Tensor:
    """relu(Σ_k w_k A_k) with w_k = Σ_ij g_k A_k / S_k, where S_k is the sum of A_k over the map: (N, k, h, w).

    A channel that sums to zero gets weight zero.

    Fu, Hu, Dong, Guo, Gao, Li: Axiom-based Grad-CAM, BMVC 2020, arXiv 2008.02312.
    """
    activations = evidence.activations
    sums = activations.sum((2, 3)).unsqueeze(1)  # (N, 1, K)
    products = torch.einsum("nkcij,ncij->nkc", evidence.gradient(), activations)
    return weighted(torch.where(sums == 0, 0, products / sums), activations).relu()
