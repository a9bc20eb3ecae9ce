"""A page or frame of a file is named behind it: `scan.tif#2`."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from producer.inputs.expand import Expansion
from producer.inputs.notes import Notes, Row
from producer.submission.upload import Uploader
from shared.contract import ImageRef, decode, encode
from shared.errors import UsageError
from shared.storage import MemoryStore

LIMIT = 1 << 20


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore("mine")
    made.ensure_bucket()
    return made


def test_on_disk_by_a_pattern_in_archives_and_on_s3(photos: Path, store: MemoryStore) -> None:
    """The name keeps the page; the bytes are those of the file."""
    whole = (photos / "a.png").read_bytes()
    with zipfile.ZipFile("pack.zip", "w") as packed, tarfile.open("pack.tgz", "w:gz") as tape:
        packed.write("photos/a.png", "in/a.png")
        tape.add("photos/a.png", "in/a.png")
    store.put("scans/a.png", whole)

    for given in ("photos/a.png#2", "pack.zip/in/a.png#2", "pack.tgz/in/a.png#2"):
        (source,) = Expansion([given], store=lambda: store)
        assert (source.name, source.page, source.read(LIMIT)) == (given, 2, whole)
    (member,) = Expansion(["pack.zip/in/a.png"], store=lambda: store)
    assert (member.name, member.page, member.read(LIMIT)) == ("pack.zip/in/a.png", None, whole)
    (found,) = Expansion(["s3://mine/scans/a.png#12"], store=lambda: store)
    assert (found.name, found.path, found.page) == ("s3://mine/scans/a.png#12", "s3://mine/scans/a.png", 12)
    (matched,) = Expansion(["photos/*.png#3"], store=lambda: store)
    assert (matched.name, matched.page, matched.read(LIMIT)) == ("photos/a.png#3", 3, whole)
    (behind,) = Expansion(["https://me:pw@example.org/a.tif?token=x#2"], store=lambda: store)
    assert (behind.name, behind.page) == ("https://example.org/a.tif#2", 2)
    (row,) = Expansion([Row("photos/a.png#2", Notes("my id"))], store=lambda: store)
    assert (row.name, row.page, row.notes.id) == ("photos/a.png#2", 2, "my id")


def test_a_file_of_that_very_name_goes_first(photos: Path, store: MemoryStore) -> None:
    """On disk, in an archive, and on S3."""
    (photos / "a.png#2").write_bytes(b"another")
    with zipfile.ZipFile("pack.zip", "w") as packed:
        packed.write("photos/a.png", "a.png")
        packed.write("photos/a.png", "a.png#2")
    store.put("a.png", b"one")
    store.put("a.png#2", b"another")

    (source,) = Expansion(["photos/a.png#2"], store=lambda: store)
    assert (source.page, source.read(LIMIT)) == (None, b"another")
    (member,) = Expansion(["pack.zip/a.png#2"], store=lambda: store)
    assert member.page is None
    (found,) = Expansion(["s3://mine/a.png#2"], store=lambda: store)
    assert (found.page, found.path) == (None, "s3://mine/a.png#2")


@pytest.mark.parametrize(
    "given",
    ["a.png#x", "a.png#", "a.png#1e1", "a.png#-1", "a.png#²", "none.png#2", "sub#1", f"a.png#{10**10}"],
)
def test_what_is_no_page_is_no_file(photos: Path, store: MemoryStore, given: str) -> None:
    """Pages count from 1, in digits; a folder has none."""
    with pytest.raises(UsageError, match="no picture to submit"):
        list(Expansion([f"photos/{given}"], store=lambda: store))


def test_there_is_no_page_0(photos: Path, store: MemoryStore) -> None:
    """It fails alone and says how pages count, wherever its file is; a file of that very name is taken."""
    store.put("a.png", b"one")
    with zipfile.ZipFile("pack.zip", "w") as packed:
        packed.write("photos/a.png", "a.png")
    Path("photos/b.png#0").write_bytes(Path("photos/a.png").read_bytes())
    given = [
        "photos/a.png#0",
        "pack.zip/a.png#0",
        "s3://mine/a.png#0",
        "https://example.org/a.png#0",
        "photos/*.png#00",
    ]
    upload = Uploader(store, limit=LIMIT, patient=lambda call: call())
    found = [upload(item) for item in enumerate(Expansion([*given, "photos/b.png#0"], store=lambda: store))]

    errors = [reference.error and (reference.error.code, reference.error.message) for reference in found]
    assert set(errors[:-1]) == {("not_found", "there is no page 0: pages and frames are counted from 1")}
    assert errors[-1] is None


def test_a_picture_that_an_archive_does_not_have_fails_alone(photos: Path, store: MemoryStore) -> None:
    """With the archive's name and its own."""
    with zipfile.ZipFile("pack.zip", "w") as packed:
        packed.write("photos/a.png", "a.png")
    found = list(Expansion(["photos/a.png", "pack.zip/no/b.png#1"], store=lambda: store))

    assert [source.name for source in found] == ["photos/a.png", "pack.zip/no/b.png#1"]
    reference = Uploader(store, limit=LIMIT, patient=lambda call: call())((1, found[1]))
    assert reference.error is not None
    assert reference.error.code == "not_found"
    assert reference.error.message == "the archive pack.zip has no picture no/b.png#1"


def test_the_reference_has_the_page_and_the_file_is_stored_once(photos: Path, store: MemoryStore) -> None:
    """Whichever pages of it are asked for; without a page nothing is added."""
    store.put("b.png", b"picture")
    upload = Uploader(store, limit=LIMIT, patient=lambda call: call())
    given = ["photos/a.png", "photos/a.png#1", "photos/a.png#2", "s3://mine/b.png#5"]
    found = [upload(item) for item in enumerate(Expansion(given, store=lambda: store))]

    assert [reference.source for reference in found] == given
    assert [decode(encode(reference), ImageRef).page or None for reference in found] == [None, 1, 2, 5]
    assert len({reference.key for reference in found[:3]}) == 1
    assert found[3].key == "s3://mine/b.png"
    assert b"page" not in encode(found[0])
