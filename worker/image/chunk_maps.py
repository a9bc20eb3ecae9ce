"""The maps of a chunk's images, kept together in one object for whoever looks at a whole job."""

import io
from collections.abc import Sequence
from threading import Lock

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from shared.contract import ImageRef, Options
from worker.core.types import Explanation, Geometry

#: The largest number of float16: a larger one would become infinite.
_LARGEST = 65504.0


def wanted(refs: Sequence[ImageRef], options: Options) -> bool:
    """Whether a chunk's maps are kept: where somebody asked for it, or said what is right."""
    return options.keep_maps or any(ref.truth is not UNSET or ref.boxes is not UNSET for ref in refs)


class ChunkMaps:
    """Collects the maps of images, in any order and from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rows: list[tuple[list[float], NDArray[np.float16]]] = []
        self._boxes: list[tuple[int, ...]] = []

    def add(self, ref: ImageRef, explanation: Explanation, geometry: Geometry) -> None:
        """One image's maps."""
        truth = ref.truth if isinstance(ref.truth, int) else -1
        with self._lock:
            for found in explanation.classes:
                size = (geometry.width, geometry.height)
                row = [ref.index, found.class_index, found.rank, found.probability, truth, *size, *geometry.seen]
                # A copy: the values are a part of the table of a whole micro-batch.
                self._rows.append((row, found.values.clip(-_LARGEST, _LARGEST).astype(np.float16)))
            self._boxes += [(ref.index, *box) for box in ref.boxes or ()]

    def archive(self) -> bytes:
        """A NumPy archive of n maps by image and rank; nothing where no image has a map.

        `image`, `class_index`, `rank`, `probability` and `maps`, float16 (n, h, w); `truth`, the true class of the
        image or -1; `size`, its width and height; `seen`, the part of it that the map covers (x0, y0, x1, y1). `boxes`
        has a row (image, x0, y0, x1, y1) for each true box.
        """
        with self._lock:
            rows, boxes = sorted(self._rows, key=lambda pair: (pair[0][0], pair[0][2])), sorted(self._boxes)
        if not rows:
            return b""
        numbers = np.array([row for row, _ in rows])
        whole = numbers[:, [0, 1, 2, 4]].astype(np.int64)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            image=whole[:, 0],
            class_index=whole[:, 1],
            rank=whole[:, 2],
            truth=whole[:, 3],
            probability=numbers[:, 3].astype(np.float32),
            size=numbers[:, 5:7].astype(np.int64),
            seen=numbers[:, 7:].astype(np.float32),
            maps=np.stack([values for _, values in rows]),
            boxes=np.array(boxes, dtype=np.int64).reshape(-1, 5),
        )
        return buffer.getvalue()
