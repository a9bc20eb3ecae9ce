"""Ablation-CAM."""

import torch
from torch import Tensor

from worker.core.maps.evidence import Evidence, target_scores, weighted


def ablationcam(evidence: Evidence) -> Tensor:
    """relu(Σ_k w_k A_k) with w_k = (y - y without channel k) / y, y the target: (N, k, h, w).

    The score without a channel needs no forward: the head is known, on a linear one y_c falls by W_ck mean(A_k).
    As in the paper a negative score turns the sign of its weights; a score of zero has an empty map.

    Desai, Ramaswamy: Ablation-CAM, WACV 2020, doi 10.1109/WACV45572.2020.9093360.
    """
    weights = torch.stack([_weights(evidence, image) for image in range(len(evidence.activations))])
    return weighted(weights, evidence.activations).relu()


def _weights(evidence: Evidence, image: int) -> Tensor:
    """(k, K). One image at a time: all logits without each channel are K·C values."""
    drops = evidence.head.drops(evidence.activations[image])  # (K, C)
    classes = evidence.classes[image]
    scores = evidence.scores[image]
    if evidence.target == "logit":
        falls = drops[:, classes]
    else:
        without = evidence.logits[image] - drops
        falls = scores - target_scores(without, classes.expand(len(drops), -1), "probability", evidence.outputs)
    return torch.where(scores == 0, 0, falls / scores).T
