"""The methods by the names that users give: each maps Evidence to raw maps (N, k, h, w)."""

from collections.abc import Callable

from torch import Tensor

from worker.core.maps.evidence import Evidence
from worker.core.maps.methods.ablationcam import ablationcam
from worker.core.maps.methods.cam import cam
from worker.core.maps.methods.eigencam import eigencam
from worker.core.maps.methods.finercam import contrasted, finercam, signed_from_gradient
from worker.core.maps.methods.gradcam import from_gradient, gradcam
from worker.core.maps.methods.gradcam_plus_plus import gradcam_plus_plus
from worker.core.maps.methods.hirescam import hires_from_gradient, hirescam
from worker.core.maps.methods.layercam import fused, layer_from_gradient, layercam
from worker.core.maps.methods.scorecam import scorecam
from worker.core.maps.methods.xgradcam import xgradcam

#: In the order of `shared.contract.METHODS`; a test holds that they are the same.
METHODS: dict[str, Callable[[Evidence], Tensor]] = {
    "cam": cam,
    "gradcam": gradcam,
    "hirescam": hirescam,
    "xgradcam": xgradcam,
    "layercam": layercam,
    "gradcam++": gradcam_plus_plus,
    "eigencam": eigencam,
    "ablationcam": ablationcam,
    "scorecam": scorecam,
    "finercam": finercam,
}

__all__ = ["FROM_GRADIENT", "METHODS", "contrasted", "from_gradient", "fused"]
#: Those that a gradient by autograd, (N, k, K, h, w), and the activations are enough for.
FROM_GRADIENT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradcam": from_gradient,
    "hirescam": hires_from_gradient,
    "layercam": layer_from_gradient,
    "finercam": signed_from_gradient,
}
