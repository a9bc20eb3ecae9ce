"""EigenCAM."""

import torch
from torch import Tensor

from worker.core.cam import Evidence


def eigencam(evidence: Evidence) -> Tensor:
    """The first principal component of the activations, at each position; signed: (N, k, h, w).

    It knows no class. Its sign, which an eigenvector leaves open, is chosen for each class so that the map
    correlates positively with the class's CAM. With X the (h·w, K) activations, each channel centred, it is
    the eigenvector of the h·w x h·w Gram matrix X Xᵀ with the largest eigenvalue, times its root.

    Muhammad, Yeasin: Eigen-CAM, IJCNN 2020, arXiv 2008.00299.
    """
    rows = evidence.activations.flatten(2).transpose(1, 2)  # (N, h·w, K)
    rows = rows - rows.mean(dim=1, keepdim=True)
    values, vectors = torch.linalg.eigh(rows @ rows.transpose(1, 2))  # ascending
    component = vectors[..., -1] * values[:, -1:].clamp(min=0).sqrt()  # (N, h·w), of mean zero
    maps = evidence.class_maps()
    agreement = torch.einsum("np,nkp->nk", component, maps.flatten(2))
    sign = torch.where(agreement < 0, -1.0, 1.0)[..., None]
    signed: Tensor = sign * component.unsqueeze(1)
    return signed.view_as(maps)
