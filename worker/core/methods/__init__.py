"""The methods by the names that users give: each maps Evidence to raw maps (N, k, h, w)."""

from collections.abc import Callable

from torch import Tensor

from worker.core.cam import Evidence
from worker.core.methods.ablationcam import ablationcam
from worker.core.methods.cam import cam
from worker.core.methods.eigencam import eigencam
from worker.core.methods.gradcam import from_gradient, gradcam
from worker.core.methods.gradcam_plus_plus import gradcam_plus_plus
from worker.core.methods.hirescam import hirescam
from worker.core.methods.layercam import layercam
from worker.core.methods.scorecam import scorecam
from worker.core.methods.xgradcam import xgradcam

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
}

__all__ = ["METHODS", "from_gradient"]
