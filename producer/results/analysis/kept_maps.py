"""The maps that workers keep beside the results of a chunk: opened, checked, and each made a distribution of heat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from producer.results.arrays import read_arrays
from shared.errors import CamqError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    #: Arrays of integers, and those of floats that `opened` has checked.
    Archive = dict[str, NDArray[Any]]

#: Points by which a cell of a map is laid over boxes, in each direction.
_POINTS = 8
_NAMES = {"image", "class_index", "rank", "probability", "truth", "size", "seen", "maps", "boxes"}


class DamagedMapsError(CamqError):
    """The maps of a chunk in storage are not what a worker wrote."""


class Looked(NamedTuple):
    """Where the network looked in the n images of a chunk whose maps have any heat.

    `heat` (n, h, w) is the map of the true class, or of the best class where that was not explained (`own` is False);
    `best` (n, h, w) is that of the best class. What is negative in a map is no heat, and each map's heat is a share of
    1. `truth` and `predicted` are class indices, -1 where unknown; `probability` is that of the best class; `outside`
    is the share of `heat` outside the true boxes, NaN without boxes.
    """

    image: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: Array
    own: NDArray[np.bool_]
    heat: Array
    best: Array
    outside: Array


def opened(key: str, data: bytes) -> Archive:
    """The arrays of an object. DamagedMapsError where they do not fit together."""
    try:
        found = read_arrays(data, _NAMES)
        rows, boxes = len(found["maps"]), len(found["boxes"])
        shapes: dict[str, tuple[int, ...]] = {"size": (rows, 2), "seen": (rows, 4), "boxes": (boxes, 5)}
        shapes |= dict.fromkeys(("image", "class_index", "rank", "probability", "truth"), (rows,))
        kinds = dict.fromkeys(("seen", "maps", "probability"), "f")
        wrong = [name for name in sorted(_NAMES) if found[name].shape != shapes.get(name, found[name].shape)]
        wrong += [name for name in sorted(_NAMES) if found[name].dtype.kind != kinds.get(name, "i")]
        if wrong or found["maps"].ndim != 3 or not found["maps"].size:
            raise ValueError(f"its arrays do not fit together: {', '.join(wrong) or 'maps'}")
    except (ValueError, TypeError) as error:  # TypeError: an array without a length
        raise DamagedMapsError(f"the maps in {key} are damaged: {error}") from None
    return found


def looked(found: Archive, total: int) -> Looked:
    """What the arrays of a chunk say of each of its images; those of images that the job of `total` does not have, and
    maps without any heat, are left out."""
    order = np.lexsort((found["rank"], found["image"]))
    image, truth, classes = (found[name][order] for name in ("image", "truth", "class_index"))
    first = np.flatnonzero(np.r_[True, image[1:] != image[:-1]])
    # Of each image's rows the one of its true class; where there is none, the row after the last.
    own = np.minimum.reduceat(np.where(classes == truth, np.arange(len(order)), len(order)), first)
    known = own < len(order)
    best, row = order[first], order[np.where(known, own, first)]
    heat, its_best = _shares(found["maps"][row]), _shares(found["maps"][best])
    there = np.isfinite(heat).all(axis=(1, 2)) & (image[first] >= 0) & (image[first] < total)
    ranked = found["rank"][best] == 1
    return Looked(
        image=image[first][there],
        truth=truth[first][there],
        predicted=np.where(ranked, classes[first], -1)[there],
        probability=np.nan_to_num(found["probability"][best].astype(np.float64), posinf=1.0).clip(0, 1)[there],
        own=known[there],
        heat=heat[there],
        best=its_best[there],
        outside=_outside_boxes(found, image[first], row, heat)[there],
    )


def on_border(heat: Array) -> Array:
    """The share of each map's heat (n, h, w) that lies in its outermost cells."""
    inside: Array = heat[:, 1:-1, 1:-1].sum(axis=(1, 2))
    return 1 - inside


def outside(heat: Array, seen: NDArray[np.generic], size: NDArray[np.generic], boxes: NDArray[np.generic]) -> float:
    """The share of the heat (h, w) that is outside all boxes. What lies beside the picture, as with a letterbox, counts
    as neither."""
    x0, y0, x1, y1 = (float(edge) for edge in seen)
    height, width = (side * _POINTS for side in heat.shape)
    x = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width
    y = (y0 + (np.arange(height) + 0.5) * (y1 - y0) / height)[:, None]
    inside = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes.tolist():
        inside |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
    there = (x >= 0) & (x < float(size[0])) & (y >= 0) & (y < float(size[1]))
    dense = np.repeat(np.repeat(heat, _POINTS, axis=0), _POINTS, axis=1) * there
    total = dense.sum()
    return float(dense[~inside].sum() / total) if total else 0.0


def divergence(one: Array, other: Array) -> float:
    """Jensen and Shannon's, in bits, of two sums of maps: 0 for the same distribution, 1 where they never meet."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2

    def relative(part: Array) -> float:
        there = part > 0
        return float((part[there] * np.log2(part[there] / middle[there])).sum())

    return (relative(p) + relative(q)) / 2


def rounded(values: Array) -> tuple[tuple[float, ...], ...]:
    """Rows of a map with four digits each."""
    return tuple(tuple(round(value, 4) for value in row) for row in values.tolist())


def _shares(maps: NDArray[np.generic]) -> Array:
    """Each map as shares of its heat; NaN where it has none, or is not finite."""
    heat: Array = maps.astype(np.float64).clip(min=0)
    sums = heat.sum(axis=(1, 2), keepdims=True)
    sums[~np.isfinite(sums) | (sums == 0)] = np.nan
    shares: Array = heat / sums
    return shares


def _outside_boxes(found: Archive, image: NDArray[np.generic], row: NDArray[np.int64], heat: Array) -> Array:
    shares = np.full(len(image), np.nan)
    for at in np.flatnonzero(np.isin(image, found["boxes"][:, 0])).tolist():
        boxes = found["boxes"][found["boxes"][:, 0] == image[at], 1:]
        shares[at] = outside(heat[at], found["seen"][row[at]], found["size"][row[at]], boxes)
    return shares
