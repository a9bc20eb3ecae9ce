"""An activation map → the same map at a picture's size: bilinear, half-pixel centres, edges held.

It is Pillow's resize of mode F, and so `F.interpolate(align_corners=False)`, as two matrix products. Each pixel is a
weighted mean of cells, and its weights are Pillow's own; only the rounding differs, by `ROUNDING` at most where the
picture is larger than its map. A map of few cells takes a tenth of Pillow's time.
"""

from functools import lru_cache

import numpy as np
from PIL import Image

from worker.core.types import FloatArray

#: By how much a pixel may differ from Pillow's, as a share of the map's greatest absolute value. In float32 a number is
#: off by 2⁻²⁴ of itself: here by one for the weights, the products and their sum, each way; in Pillow by one each way.
ROUNDING = 8 * 2.0**-24
#: Sides above which nearly all weights are zero, so that Pillow, which skips those, is quicker.
MOST_CELLS = 32
#: OpenBLAS shares out products of more multiplications than this among threads of its own, which would fight with ours
#: over the cores. Where bands of so many rows are still too wide, Pillow resizes.
_MOST_PRODUCT = 1 << 18
_BAND = 16


def stretch(values: FloatArray, width: int, height: int) -> FloatArray:
    """The map (h, w) float32, as (height, width); read-only or not, nobody else's."""
    rows, columns = values.shape
    large = max(rows, columns) > MOST_CELLS or max(columns, _BAND) * rows * width > _MOST_PRODUCT
    # What is not finite would spread over its whole row and column: zero times infinity is no number.
    if large or not np.isfinite(values).all():
        return by_pillow(values, width, height)
    wide = values @ _weights(columns, width).T
    stretched: FloatArray = (_bands(rows, height) @ wide).reshape(-1, width)[:height]
    return stretched


def by_pillow(values: FloatArray, width: int, height: int) -> FloatArray:
    """The same, of any map, in double precision rounded after each of the two ways."""
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))


@lru_cache(maxsize=64)  # two for each side of a canvas, ten kilobytes each at 512 pixels, 500 at most
def _weights(cells: int, pixels: int) -> FloatArray:
    """How much of each cell is in each pixel: (pixels, cells)."""
    return by_pillow(np.eye(cells, dtype=np.float32), cells, pixels)


@lru_cache(maxsize=64)
def _bands(cells: int, pixels: int) -> FloatArray:
    """The same in bands of rows, (n, `_BAND`, cells), the last one filled up with zeros."""
    missing = -pixels % _BAND
    return np.pad(_weights(cells, pixels), ((0, missing), (0, 0))).reshape(-1, _BAND, cells)
