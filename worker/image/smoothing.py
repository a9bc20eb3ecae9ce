"""Maps that are averaged over a picture and its mirror image."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
from msgspec import UNSET

from shared.contract import Options
from worker.core.types import Explanation, ImageOptions, UInt8Array


def smoothed(
    explain: Callable[[UInt8Array, Options], Explanation], pixels: UInt8Array, options: Options
) -> Explanation:
    """What `explain` says of a picture (S, S, channels); with `smooth="flips"` each map is (M(x) + F M(F x)) / 2.

    F turns left and right round; both maps are of the same class. Classes, ranks and probabilities are those of the
    picture as it is. The mirror image is explained like any other picture, so the batcher puts it beside others.
    """
    own = explain(pixels, options)
    if not options.smooth or not own.classes:
        return own
    # `truth` is the image's own, which is judged once.
    given = msgspec.structs.asdict(options) | {"truth": None}
    classes = tuple(found.class_index for found in own.classes)
    asked = ImageOptions(**given | {"classes": classes, "min_probability": UNSET})
    mirrored = explain(pixels[:, ::-1].copy(), asked)
    half = np.float32(0.5)
    pairs = zip(own.classes, mirrored.classes, strict=True)
    return replace(own, classes=tuple(replace(a, values=half * (a.values + b.values[:, ::-1])) for a, b in pairs))
