"""How many images a message carries."""

from collections.abc import Iterator

import pytest

from producer.submission.submit import chunks
from shared.contract import ImageRef


def references(count: int) -> Iterator[ImageRef]:
    return (ImageRef(index=index, source="b", key="s3://a/b") for index in range(count))


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
    found = list(chunks(references(count), size))
    assert [len(chunk) for chunk in found] == expected
    assert [image.index for chunk in found for image in chunk] == list(range(count))
