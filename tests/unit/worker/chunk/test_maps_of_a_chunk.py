"""The maps of a chunk whose images have ground truth lie beside its results."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from shared import keys
from shared.contract import ImageRecord, ImageRef, ImageState, encode_lines
from shared.storage import MemoryStore
from tests.support.worker.chunk_desk import IMAGES, MESSAGE, Desk
from worker.core.types import ClassMap, Explanation, Geometry

MAPS, RESULTS = keys.chunk_maps_object("job", "000000", 1), keys.results_object("job", "000000", 1)


class Store(MemoryStore):
    """A memory store that remembers the order of what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self.written.append(key)
        super().put(key, data, content_type)


def explained(ref: ImageRef, _claim: Any, _check: Any, maps: Any, _lone: Any) -> ImageRecord:
    """Every image succeeds, with one map."""
    if maps is not None:
        values = np.full((1, 2), ref.index, np.float32)
        maps.add(ref, Explanation((ClassMap(1, 0, 0.0, 0.5, values),), "cam"), Geometry(1, 1, (0, 0, 1, 1)))
    return ImageRecord(index=ref.index, source="", state=ImageState.SUCCEEDED)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(store=Store())
    made.explainer.record = explained  # type: ignore[method-assign, assignment]
    yield made
    made.pipeline.close()


@pytest.mark.parametrize(("truth", "written"), [({}, [RESULTS]), ({"truth": 2}, [MAPS, RESULTS])])
def test_maps_are_there_before_the_results(truth: dict[str, int], written: list[str], desk: Desk) -> None:
    """Whoever sees the results finds the maps; without ground truth there is no such object."""
    references = encode_lines([ImageRef(index=n, **(truth if n == 1 else {})) for n in range(IMAGES)])
    desk.store.put(keys.chunk_object("job", "000000"), references)

    desk.pipeline.run(MESSAGE)

    assert isinstance(desk.store, Store)
    assert desk.store.written[2:] == written
    if truth:
        found = np.load(io.BytesIO(desk.store.get(MAPS)))
        assert found["truth"].tolist() == [-1, 2, -1]
        assert found["maps"].tolist() == [[[n, n]] for n in range(IMAGES)]


def test_a_box_that_no_picture_has_room_for_fails_its_chunk_alone(desk: Desk) -> None:
    """The arrays could not hold it: without the limit the worker would try the chunk again and again."""
    huge = ImageRef(index=0, boxes=((0, 0, 10**30, 10**30),))
    desk.store.put(keys.chunk_object("job", "000000"), encode_lines([huge, *map(_reference, range(1, IMAGES))]))

    desk.pipeline.run(MESSAGE)

    assert isinstance(desk.store, Store)
    assert desk.store.written[2:] == [RESULTS]
    assert b"boxes" in desk.store.get(RESULTS)


def _reference(index: int) -> ImageRef:
    return ImageRef(index=index)
