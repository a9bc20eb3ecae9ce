"""Whether a map points at what the user says is there: the pointing game, and boxes."""

from collections.abc import Sequence

import numpy as np

from shared.contract import Box
from worker.core.drawing.boxes import box, over_seen
from worker.core.types import FloatArray, Geometry

#: Of the map's range, from cold to hot.
THRESHOLDS = tuple(step / 20 for step in range(1, 20))


def points_at(values: FloatArray, geometry: Geometry, boxes: Sequence[Box], tolerance: float) -> bool:
    """Whether the map's hottest pixel lies in a box, or within `tolerance` of one; all in pixels of the original.

    Zhang, Bargal, Lin, Brandt, Shen, Sclaroff: Top-down Neural Attention by Excitation Backprop, IJCV 2018, arXiv
    1608.00507.
    """
    x0, y0, x1, y1 = geometry.seen
    grid = over_seen(values, geometry)
    rows, columns = grid.shape
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    x, y = x0 + (column + 0.5) * (x1 - x0) / columns, y0 + (row + 0.5) * (y1 - y0) / rows
    return any(
        left - tolerance <= x < right + tolerance and top - tolerance <= y < bottom + tolerance
        for left, top, right, bottom in boxes
    )


def overlaps(values: FloatArray, geometry: Geometry, boxes: Sequence[Box]) -> tuple[float, ...]:
    """For each of `THRESHOLDS`, the best overlap of the map's box there with one of `boxes` (intersection over union).

    MaxBoxAcc counts those of at least one half, at the threshold that is best for all pictures together: Choe, Oh, Lee,
    Chun, Akata, Shim: Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020, arXiv 2001.07437.
    """
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return (0.0,) * len(THRESHOLDS)
    unit = ((values - low) / (high - low)).astype(np.float32)
    found = [box(unit, geometry, threshold) for threshold in THRESHOLDS]
    return tuple(max(iou(one, other) for other in boxes) if one else 0.0 for one in found)


def iou(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, across) * max(0, down)
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0
