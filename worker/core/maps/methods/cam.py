"""CAM."""

from torch import Tensor

from worker.core.maps.evidence import Evidence


def cam(evidence: Evidence) -> Tensor:
    """Σ_k W_ck A_k, signed: what each position adds to the logit, whose mean over the map plus b_c it is.

    No ReLU: a negative value is evidence against the class. On SqueezeNet relu(Σ_k W_ck A_k + b_c).
    (N, k, h, w).

    Zhou, Khosla, Lapedriza, Oliva, Torralba: Learning Deep Features for Discriminative Localization, CVPR 2016,
    arXiv 1512.04150.
    """
    return evidence.class_maps()
