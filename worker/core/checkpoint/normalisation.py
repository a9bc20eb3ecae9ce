"""Mean and std that a network keeps beside its weights, because its own first layer normalises pictures."""

import math
import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from worker.core.checkpoint.fit import Shape

_MEAN = re.compile(r"(^|\.)(_|new_|pixel_|image_|img_|input_)?mean$")
#: Of a channel's values from 0 to 1; larger means are of values to 255.
_LARGEST = 1.5


def normalisation(
    names: Iterable[str], shapes: Mapping[str, Shape], read: Callable[[str], Tensor], channels: int
) -> tuple[str, tuple[tuple[float, ...], tuple[float, ...]] | None]:
    """The mean's name among `names`; mean and std for values from 0 to 1, a number for each channel; None without."""
    for name in names:
        other = f"{name[:-4]}std"
        if not _MEAN.search(name) or other not in shapes:
            continue
        if math.prod(shapes[name]) == math.prod(shapes[other]) == channels:
            mean, std = read(name).float().flatten(), read(other).float().flatten()
            scale = 255 if max(mean.max(), std.max()) > _LARGEST else 1
            if mean.isfinite().all() and std.isfinite().all() and std.gt(0).all():
                return name, (_numbers(mean / scale), _numbers(std / scale))
    return "", None


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(round(float(each), 6) for each in values)
