"""A photograph with a cat in a known place."""

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

SIDE, FACE, PLACES = 224, 112, 60
EGYPTIAN_CAT = 285


def background(kind: int, rng: np.random.Generator) -> Picture:
    if kind == 0:
        return rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    if kind == 1:
        return np.full((SIDE, SIDE, 3), 127, np.uint8)
    ramp = np.linspace(0, 255, SIDE).astype(np.uint8)
    return np.repeat(np.tile(ramp, (SIDE, 1))[..., None], 3, axis=2)


def with_cat(ground: Picture, x: int, y: int) -> Picture:
    face = (
        Image.fromarray(skimage.data.chelsea()).crop((50, 0, 350, 300)).resize((FACE, FACE), Image.Resampling.BILINEAR)
    )
    picture = ground.copy()
    picture[y : y + FACE, x : x + FACE] = np.asarray(face)
    return picture
