"""A colormap's name → its table of 256 colours."""

from difflib import get_close_matches
from functools import lru_cache

import numpy as np
from cmap import Colormap

from shared.colormaps import NAMES
from shared.errors import UsageError
from worker.core.types import UInt8Array


@lru_cache(maxsize=len(NAMES))
def palette(name: str) -> UInt8Array:
    """The colours of a colormap from low to high: (256, 3) uint8 sRGB, read-only.

    Raises UsageError with the nearest names for a name that is not in `NAMES`.
    """
    if name not in NAMES:
        by_fold = {known.casefold(): known for known in NAMES}
        near = [by_fold[fold] for fold in get_close_matches(name.casefold(), by_fold, n=3)]
        hint = f"did you mean {' or '.join(near)}?" if near else "jet, viridis, turbo and inferno are some"
        raise UsageError(f"no colormap {name!r}: {hint}")
    plain = name.removesuffix("_r")
    # A few plain names stand in several of cmap's collections; the full name keeps it from warning of that.
    table = Colormap(Colormap.catalog().resolve(plain))(np.linspace(0, 1, 256))[:, :3]
    if plain != name:
        table = table[::-1]
    colours: UInt8Array = np.rint(table * 255).astype(np.uint8)
    colours.flags.writeable = False
    return colours
