"""What users give, as images in a stable order."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from producer.inputs.expand import MOST_MENTIONED, Expansion
from producer.inputs.in_memory import USUAL_PICTURE
from producer.inputs.source import FailedSource, ObjectSource, Source, encode_picture, printable
from shared.errors import ImageError, UsageError
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import picture

LIMIT = 1_000_000


def no_store() -> MemoryStore:
    raise AssertionError("these images need no object store")


def expand(*given: object, store: Callable[[], MemoryStore] = no_store) -> list[Source]:
    return list(Expansion(given, store=store))


def names(*given: object, store: Callable[[], MemoryStore] = no_store) -> list[str]:
    return [source.name for source in expand(*given, store=store)]


def mine(objects: dict[str, bytes]) -> MemoryStore:
    """A store whose bucket `mine` holds these objects."""
    store = MemoryStore("mine")
    store.ensure_bucket()
    for key, data in objects.items():
        store.put(key, data)
    return store


def failure(source: Source, limit: int = LIMIT) -> str:
    with pytest.raises(ImageError) as caught:
        source.read(limit)
    return caught.value.code


@pytest.mark.usefixtures("photos")
def test_a_folder_gives_its_visible_pictures_sorted_under_the_name_as_given() -> None:
    """Text files, hidden files and hidden folders are no pictures of the user's."""
    assert names("photos") == ["photos/a.png", "photos/b.JPG", "photos/sub/c.webp", "photos/sub/deep/e.tif"]


@pytest.mark.usefixtures("photos")
def test_the_order_of_the_arguments_is_kept() -> None:
    """The index of an image follows from the command line alone."""
    assert names("photos/sub", "photos/a.png") == ["photos/sub/c.webp", "photos/sub/deep/e.tif", "photos/a.png"]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.png", ["photos/a.png"]),
        ("photos/*.txt", ["photos/notes.txt"]),
        ("photos/*", ["photos/a.png", "photos/b.JPG", "photos/sub/c.webp", "photos/sub/deep/e.tif"]),
        ("photos/**", ["photos/a.png", "photos/b.JPG", "photos/sub/c.webp", "photos/sub/deep/e.tif"]),
        ("**/*.webp", ["photos/sub/c.webp"]),
        ("photos/[ab].*", ["photos/a.png", "photos/b.JPG"]),
    ],
)
def test_a_quoted_pattern_gives_each_picture_once(pattern: str, expected: list[str]) -> None:
    """Folders that match stand for their pictures; a suffix that is spelled out is meant."""
    assert names(pattern) == expected


@pytest.mark.parametrize("name", ["with space.png", "it's.png", 'dou"ble.png', "new\nline.png", "🐈.png", "[a].png"])
def test_any_file_name_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that exists is a file, even where its name looks like a pattern."""
    (tmp_path / name).write_bytes(picture())
    monkeypatch.chdir(tmp_path)

    assert names(name) == [name]


def test_a_name_that_is_no_utf8_is_written_with_escapes(tmp_path: Path) -> None:
    """Results are JSON, which has no room for other bytes."""
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(path)).write_bytes(picture())

    (source,) = expand(os.fsdecode(path))

    assert source.read(LIMIT) == picture()
    assert printable(source.name).endswith(r"caf\xe9.png")


@pytest.mark.usefixtures("photos")
def test_a_named_file_that_is_missing_fails_alone() -> None:
    """Its neighbours go on, and it keeps its place."""
    missing, found = expand("photos/nothere.png", "photos/a.png")

    assert failure(missing) == "not_found"
    assert found.read(LIMIT) == picture()


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOENT, "not_found"), (errno.EACCES, "denied"), (errno.EIO, "unavailable")]
)
def test_the_code_of_a_file_that_cannot_be_read_says_why(
    number: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone, not ours to read, or on a disk that fails: programs rely on the difference."""
    (source,) = expand("photos/a.png")

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refused)
    assert failure(source) == code


@pytest.mark.usefixtures("photos")
def test_a_file_below_a_folder_that_may_not_be_entered_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can say that it is not there."""
    lstat = os.lstat

    def refused(path: str) -> os.stat_result:
        if os.fspath(path) == "closed/b.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return lstat(path)

    monkeypatch.setattr(os, "lstat", refused)
    closed, _ = expand("closed/b.png", "photos/a.png")

    assert failure(closed) == "denied"


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("given", [["nothere.png"], ["*.gif"], ["one.png", "two.png"], []])
def test_nothing_at_all_is_a_usage_error(given: list[str]) -> None:
    """A job without images would succeed, which nobody who mistyped a path wants to hear."""
    with pytest.raises(UsageError, match="no picture to submit"):
        expand(*given)


@pytest.mark.usefixtures("photos")
def test_a_pattern_that_matches_nothing_beside_others_is_a_notice() -> None:
    """It names no picture that could fail."""
    heard: list[str] = []

    found = [source.name for source in Expansion(["*.gif", "photos/a.png"], store=no_store, notice=heard.append)]

    assert found == ["photos/a.png"]
    assert heard == ["no picture matches '*.gif'"]


@pytest.mark.usefixtures("photos")
def test_missing_files_among_others_are_named() -> None:
    """A mistyped folder would pass for one broken picture. Of many the first ones are enough."""
    heard: list[str] = []
    given = ["fotos", "photos/a.png", *(f"{number}.png" for number in range(20))]

    assert len(list(Expansion(given, store=no_store, notice=heard.append))) == 22
    assert heard[0] == "'fotos' not found (did you mean photos?); it counts as a failed image"
    assert len(heard) == MOST_MENTIONED


def test_a_named_file_is_submitted_whatever_it_is(photos: Path) -> None:
    """The worker judges content; a suffix proves nothing."""
    assert names(photos / "notes.txt") == [str(photos / "notes.txt")]


def test_an_empty_file_and_one_above_the_limit_fail_by_name(tmp_path: Path) -> None:
    """Both are known without a network, so neither is uploaded."""
    (tmp_path / "empty.png").touch()
    (tmp_path / "large.png").write_bytes(b"x" * 11)

    empty, large = expand(tmp_path)

    assert failure(empty) == "empty"
    assert failure(large, limit=10) == "too_large"


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to would hang the submission."""
    os.mkfifo(tmp_path / "pipe.png")

    (pipe,) = expand(tmp_path / "pipe.png")

    assert failure(pipe) == "not_found"


def test_bytes_pictures_and_file_objects_are_images_too(tmp_path: Path) -> None:
    """What has no name of its own is called by its position."""
    (tmp_path / "f.png").write_bytes(picture())
    drawn = Image.new("RGB", (3, 2), (1, 2, 3))

    with (tmp_path / "f.png").open("rb") as file:
        sources = expand(picture(), drawn, file, io.BytesIO(picture()))
        contents = [source.read(LIMIT) for source in sources]

    assert [source.name for source in sources] == ["image-0", "image-1", str(tmp_path / "f.png"), "image-3"]
    assert contents[0] == contents[2] == contents[3] == picture()
    with Image.open(io.BytesIO(contents[1])) as again:
        assert (again.format, again.size, again.getpixel((0, 0))) == ("PNG", (3, 2), (1, 2, 3))


def test_what_a_source_keeps_in_memory_is_counted(tmp_path: Path) -> None:
    """A chunk ends by it. A file that is named keeps nothing, and of an open one nobody knows."""
    data = picture()
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        sources = expand(path, data, io.BytesIO(data), Image.new("RGB", (30, 20)), file)

    assert [source.held for source in sources] == [0, len(data), len(data), 30 * 20 * 4, USUAL_PICTURE]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16", "YCbCr"])
def test_a_picture_of_any_mode_is_encoded_without_loss(mode: str) -> None:
    """PNG where it can, TIFF where only that keeps the numbers."""
    drawn = Image.radial_gradient("L").resize((9, 7)).convert("I" if mode == "I;16" else mode)
    drawn = drawn.convert(mode)

    with Image.open(io.BytesIO(encode_picture(drawn))) as again:
        assert again.mode == mode
        assert again.tobytes() == drawn.tobytes()


def test_a_pictures_orientation_travels_with_it() -> None:
    """A PIL picture and the file it came from must be explained alike."""
    drawn = Image.new("RGB", (4, 2))
    drawn.getexif()[0x0112] = 6

    with Image.open(io.BytesIO(encode_picture(drawn))) as again:
        assert again.getexif()[0x0112] == 6


def test_a_file_open_as_text_and_a_number_are_refused() -> None:
    """The message says what is taken."""
    with pytest.raises(UsageError, match="mode 'rb'"):
        expand(io.StringIO("text"))
    with pytest.raises(UsageError, match="a float is not an image"):
        expand(1.5)
    with pytest.raises(UsageError, match="an int is not an image"):
        expand(7)


def test_a_prefix_in_storage_is_read_in_place() -> None:
    """Keys without a suffix count as pictures there; other files do not."""
    store = mine({"p/a.jpg": b"a", "p/b": b"b", "p/c.txt": b"c", "p/empty.png": b"", "q": b""})

    sources = expand("s3://mine/p/", store=lambda: store)

    assert [source.name for source in sources] == ["s3://mine/p/a.jpg", "s3://mine/p/b", "s3://mine/p/empty.png"]
    assert all(isinstance(source, ObjectSource) for source in sources)


def test_an_object_named_in_full_does_not_stand_for_its_namesakes() -> None:
    """`s3://bucket/cat.jpg` is a prefix of `cat.jpg.png` too, but means one picture."""
    store = mine({"cat.jpg": b"a", "cat.jpg.png": b"b"})

    assert names("s3://mine/cat.jpg", store=lambda: store) == ["s3://mine/cat.jpg"]


def test_a_picture_that_is_missing_in_storage_fails_alone() -> None:
    """As a file would."""
    store = mine({"cat.jpg": b"a"})

    missing, found = expand("s3://mine/dog.jpg", "s3://mine/cat.jpg", store=lambda: store)

    assert isinstance(missing, FailedSource)
    assert found.name == "s3://mine/cat.jpg"


def test_an_unknown_bucket_is_a_usage_error() -> None:
    """Nothing in it can match."""
    with pytest.raises(UsageError, match="no bucket"):
        expand("s3://nobody/p/", store=MemoryStore)
