"""Score-CAM."""

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.core.maps.evidence import Evidence, target_scores, weighted


def scorecam(evidence: Evidence) -> Tensor:
    """relu(Σ_k w_k A_k) with w = softmax over k of the target on the picture masked by A_k: (N, k, h, w).

    The mask is A_k resized to the picture (bilinear), then stretched to 0..1; a flat channel masks nothing
    out of zero. K forwards per image, which serve all of its classes. The baseline that the paper subtracts
    from each score falls out of the softmax.

    Wang, Wang, Du, Yang, Zhang, Ding, Mardziel, Hu: Score-CAM, CVPR workshops 2020, arXiv 1910.01279.
    """
    weights = torch.stack([_weights(evidence, image) for image in range(len(evidence.activations))])
    return weighted(weights, evidence.activations).relu()


def _weights(evidence: Evidence, image: int) -> Tensor:
    """(k, K), in batches of masked pictures."""
    classes = evidence.classes[image]
    assert evidence.inputs is not None  # noqa: S101 -- whoever asks for Score-CAM has the pictures
    picture = evidence.inputs[image]
    scores = []
    for channels in torch.split(evidence.activations[image].float(), evidence.batch_size):
        masks = F.interpolate(channels.unsqueeze(1), picture.shape[1:], mode="bilinear", align_corners=False)
        logits = evidence.classify(picture * stretched(masks).to(picture.dtype))
        scores.append(target_scores(logits, classes.expand(len(logits), -1), evidence.target, evidence.outputs))
    return torch.cat(scores).double().softmax(dim=0).T


def stretched(masks: Tensor) -> Tensor:
    """Each mask (B, 1, S, S) from its own range to 0..1; a flat one becomes zero."""
    low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
    return torch.where(high > low, (masks - low) / (high - low), 0)
