"""What files of a download are called."""

import pytest

from producer.results.folder import NAMES, FileNames
from shared.contract import ImageRecord, ImageState


def names(*sources: str, by: str = "source") -> list[str]:
    given = FileNames(by)
    return [
        given.stem(ImageRecord(index=index, source=source, state=ImageState.QUEUED))
        for index, source in enumerate(sources)
    ]


def test_by_index_a_name_is_the_index() -> None:
    """As overlays are called in storage."""
    assert names("a.png", "a.png", by="index") == ["0", "1"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photos/cat.jpg", "cat"),
        ("C:\\photos\\cat.final.jpg", "cat.final"),
        ("s3://bucket/in/Käse 1.png", "Käse_1"),
        ("https://example.org/a/cat.jpg", "cat"),
        ("scans.zip/in/cat.png", "cat"),
        ("../../etc/passwd", "passwd"),
        (".hidden", "hidden"),
        ("..", "image"),
        ("", "image"),
        ("猫" * 100 + ".png", "猫" * 50),
        ("a\0b\n.png", "a_b_"),
    ],
)
def test_by_source_a_name_is_the_pictures(source: str, name: str) -> None:
    """Without its folder and suffix, and without what a file name cannot have; camq knows it as its own again."""
    assert names(source) == [name]
    assert NAMES.fullmatch(f"overlays/{name}-1.jpg")
    assert len(f"{name}-100000000-1.jpeg".encode()) < 255


def test_no_two_images_have_one_name() -> None:
    """Nor two that a Mac or Windows takes for the same."""
    found = names("a/cat.jpg", "b/cat.jpg", "b/CAT.png", "cat-1.jpg", "cat-1.png", "cat.gif")

    assert found == ["cat", "cat-1", "CAT-2", "cat-1-3", "cat-1-4", "cat-5"]
    assert len({name.casefold() for name in found}) == 6
