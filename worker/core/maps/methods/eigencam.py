"""EigenCAM."""

import torch
from torch import Tensor

from worker.core.maps.evidence import Evidence

#: Below this cosine the class's CAM does not say which way round: it is rounding, or the CAM is flat.
_AGREES = 1e-9


def eigencam(evidence: Evidence) -> Tensor:
    """The first principal component of the activations, at each position; signed: (N, k, h, w).

    It knows no class. Its sign, which an eigenvector leaves open, is chosen for each class so that the map
    correlates positively with the class's CAM or, where that is flat, with the mean activation.

    Muhammad, Yeasin: Eigen-CAM, IJCNN 2020, arXiv 2008.00299.
    """
    rows = evidence.activations.flatten(2).transpose(1, 2)  # (N, h·w, K)
    component = first_component(rows - rows.mean(dim=1, keepdim=True)).unsqueeze(1)  # (N, 1, h·w)
    maps = evidence.class_maps()
    agreement, fallback = _cosine(component, maps.flatten(2)), _cosine(component, rows.mean(2).unsqueeze(1))
    decisive = torch.where(agreement.abs() > _AGREES, agreement, fallback)
    sign = torch.where(decisive < 0, -1.0, 1.0)[..., None]
    signed: Tensor = sign * component
    return signed.view_as(maps)


def first_component(rows: Tensor) -> Tensor:
    """Centred rows X (N, P, K) → their projections on the first principal component, of either sign: (N, P).

    From the smaller of two Gram matrices, since the cost of its eigenvectors grows with the cube of its side. That of
    X Xᵀ is the projection but for the root of the eigenvalue, and X times that of Xᵀ X is the projection itself.
    """
    if rows.shape[2] < rows.shape[1]:
        _, vectors = torch.linalg.eigh(rows.transpose(1, 2) @ rows)  # ascending
        direction: Tensor = vectors[..., -1:]
        return (rows @ direction).squeeze(2)
    values, vectors = torch.linalg.eigh(rows @ rows.transpose(1, 2))
    projection: Tensor = vectors[..., -1] * values[:, -1:].clamp(min=0).sqrt()
    return projection


def _cosine(component: Tensor, maps: Tensor) -> Tensor:
    """(N, 1, P) and (N, k, P) → (N, k), of the maps less their mean; 0 where either is flat."""
    centred = maps - maps.mean(dim=2, keepdim=True)
    # A flat map keeps the rounding of its values, which is measured against their size.
    size = component.norm(dim=2) * maps.norm(dim=2)
    products = (component * centred).sum(dim=2)
    return torch.where(size > 0, products / size, 0)
