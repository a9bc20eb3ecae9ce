"""How many images a message carries."""

from collections.abc import Iterator

import pytest

from producer.inputs.source import ObjectSource
from producer.submission.chunks import HELD_AT_MOST, chunks
from producer.submission.entrance import Placed
from shared.contract import ImageRef


class Holding(ObjectSource):
    """Says that it keeps a third of what a chunk may hold in memory."""

    @property
    def held(self) -> int:
        return HELD_AT_MOST // 3 + 1


def placed(count: int, kind: type[ObjectSource] = ObjectSource) -> Iterator[Placed]:
    source = kind("s3://a/b", 1)
    return (Placed(source, ImageRef(index=index, source="b", key="s3://a/b"), 0) for index in range(count))


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (0, None, []),
        (40, None, [32, 8]),
        (8192, None, [32] * 256),
        (8193, None, [32] * 256 + [1]),
        (8192 + 200, None, [32] * 256 + [128, 72]),
        (9000, 256, [256] * 35 + [40]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_chunks_grow_with_the_job_unless_their_size_is_given(count: int, size: int | None, expected: list[int]) -> None:
    """No image is lost at the change, and their order stays."""
    found = list(chunks(placed(count), size))
    assert [len(chunk) for chunk in found] == expected
    assert [image.reference.index for chunk in found for image in chunk] == list(range(count))


def test_a_chunk_that_ends_early_counts_as_one() -> None:
    """What a source holds is kept until its chunk is registered."""
    assert [len(chunk) for chunk in chunks(placed(7, Holding), None)] == [3, 3, 1]
