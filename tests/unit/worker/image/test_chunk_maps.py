"""The maps of a chunk in one archive."""

import io

import numpy as np
import pytest

from shared.contract import ImageRef, Options
from worker.core.types import ClassMap, Explanation, Geometry
from worker.image.chunk_maps import ChunkMaps, wanted

GEOMETRY = Geometry(640, 480, (80.0, 0.0, 560.0, 480.0))


def explanation(*classes: tuple[int, int], value: float = 1.0) -> Explanation:
    maps = (ClassMap(rank, index, 1.0, 0.5, np.full((2, 3), value * rank, np.float32)) for rank, index in classes)
    return Explanation(tuple(maps), "cam")


def test_maps_stand_by_image_and_rank() -> None:
    """Whoever came first; with what is needed to lay them over the picture and its boxes."""
    first = ImageRef(index=3, truth=7, boxes=((1, 2, 30, 40), (5, 5, 9, 9)))
    parts = [(first, explanation((1, 4), (9, 7))), (ImageRef(index=2), explanation((1, 0), value=1e9))]
    archives = []
    for order in (parts, parts[::-1]):
        maps = ChunkMaps()
        for ref, found in order:
            maps.add(ref, found, GEOMETRY)
        archives.append(maps.archive())

    found = np.load(io.BytesIO(archives[0]))

    assert archives[0] == archives[1]
    assert found["image"].tolist() == [2, 3, 3]
    assert found["class_index"].tolist() == [0, 4, 7]
    assert found["rank"].tolist() == [1, 1, 9]
    assert found["truth"].tolist() == [-1, 7, 7]
    assert found["size"].tolist() == [[640, 480]] * 3
    assert found["seen"][0].tolist() == [80.0, 0.0, 560.0, 480.0]
    assert found["boxes"].tolist() == [[3, 1, 2, 30, 40], [3, 5, 5, 9, 9]]
    assert (found["maps"].dtype, found["maps"].shape) == (np.float16, (3, 2, 3))
    assert found["maps"][2].tolist() == [[9.0] * 3] * 2
    assert np.isfinite(found["maps"]).all()


@pytest.mark.parametrize(
    ("ref", "options", "kept"),
    [
        (ImageRef(index=0), Options(), False),
        (ImageRef(index=0), Options(keep_maps=True), True),
        (ImageRef(index=0, truth=0), Options(), True),
        (ImageRef(index=0, boxes=((0, 0, 1, 1),)), Options(), True),
    ],
)
def test_maps_are_kept_where_somebody_will_look_at_them(ref: ImageRef, options: Options, kept: bool) -> None:
    """One picture with ground truth is enough."""
    assert wanted([ImageRef(index=1), ref], options) == kept


def test_without_a_map_there_is_no_archive() -> None:
    """Of a chunk whose images failed, or have no class that is probable enough."""
    maps = ChunkMaps()
    maps.add(ImageRef(index=0), explanation(), GEOMETRY)

    assert maps.archive() == b""
