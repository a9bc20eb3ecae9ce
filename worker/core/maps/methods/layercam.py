"""LayerCAM."""

from torch import Tensor

from worker.core.maps.evidence import Evidence, weighted_everywhere


def layercam(evidence: Evidence) -> Tensor:
    """relu(Σ_k relu(g_k) A_k), each position weighted by its own positive gradient: (N, k, h, w).

    Jiang, Zhang, Hou, Cheng, Wei: LayerCAM, IEEE TIP 2021, doi 10.1109/TIP.2021.3089943.
    """
    return weighted_everywhere(evidence.gradient().relu(), evidence.activations).relu()
