"""The one rule for what is a picture, and what is said of the rest."""

import errno
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from producer.inputs.bucket import MOST_ASKED
from producer.inputs.expand import Expansion
from producer.inputs.left_out import MOST_KINDS, OTHER, LeftOut
from shared.errors import UsageError
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import picture


def no_store() -> MemoryStore:
    raise AssertionError("these images need no object store")


def names(*given: object) -> list[str]:
    return left_out(*given)[0]


def left_out(*given: object, store: Callable[[], MemoryStore] = no_store) -> tuple[list[str], dict[str, int]]:
    """The names found, and what was left out."""
    expansion = Expansion(given, store=store)
    return [source.name for source in expansion], expansion.left_out.counts


def test_a_folder_link_back_to_its_parent_does_not_loop(photos: Path) -> None:
    """It is left out, and said to be."""
    (photos / "sub" / "up").symlink_to(photos)
    found, passed_over = left_out(photos)

    assert len(found) == 4
    assert passed_over == {".txt": 1, "links back to a folder above": 1}


def test_folders_behind_links_are_entered(photos: Path, tmp_path: Path) -> None:
    """As data sets are split by links; also a folder of links alone, and a link to a link."""
    split = tmp_path / "train"
    split.mkdir()
    (split / "cats").symlink_to(photos / "sub")
    (split / "again").symlink_to(split / "cats")
    (split / "one.png").symlink_to(photos / "a.png")
    (split / "circle").symlink_to(split / "circle")

    assert names(split) == [
        f"{split}/{name}" for name in ("again/c.webp", "again/deep/e.tif", "cats/c.webp", "cats/deep/e.tif", "one.png")
    ]


def test_a_picture_is_known_by_its_bytes_in_folders_patterns_archives_and_storage(photos: Path, tmp_path: Path) -> None:
    """By one rule, whatever it is called; what is none is counted by its kind, spelled as the first of them is."""
    files = {
        **{"0a1b2c": picture(), "hash.dat": picture(), "scan.PNGX": picture()},
        **{"1.JXL": b"\xff\x0a" + bytes(99), "2.jxl": b"", "none": b"", "page.htm": b"<html>"},
        **{"note.txt": b"text", "lost.jpg": b"text", "read.me": b"text"},
    }
    folder = tmp_path / "odd"
    folder.mkdir()
    store = MemoryStore("mine")
    store.ensure_bucket()
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as packed, tarfile.open(tmp_path / "odd.tgz", "w:gz") as tape:
        for name, data in files.items():
            (folder / name).write_bytes(data)
            packed.writestr(name, data)
            tape.add(folder / name, name)
            store.put(f"odd/{name}", data)
    pictures = ["0a1b2c", "hash.dat", "lost.jpg", "scan.PNGX"]
    others = {".JXL": 2, ".htm": 1, ".me": 1, ".txt": 1, "without a suffix": 1}

    for given in ("odd", "odd/*"):
        assert left_out(given) == ([f"odd/{name}" for name in pictures], others)
    for given in ("odd.zip", "odd.tgz"):
        found, passed_over = left_out(given)
        assert (sorted(found), passed_over) == ([f"{given}/{name}" for name in pictures], others)
    found, passed_over = left_out("s3://mine/odd/", store=lambda: store)
    assert found == [f"s3://mine/odd/{name}" for name in sorted([*pictures, "none"])]  # taken unseen: most such are
    assert passed_over == {kind: count for kind, count in others.items() if kind != "without a suffix"}


def test_what_is_left_out_is_said_once_with_the_way(photos: Path) -> None:
    """Also when nothing else is there."""
    (photos / "1.JXL").write_bytes(b"\xff\x0a" + bytes(99))
    expansion = Expansion("photos", store=no_store)
    assert len(list(expansion)) == 4
    assert str(expansion.left_out) == "left out: 1 .JXL (convert it: djxl FILE FILE.png), 1 .txt"

    (photos.parent / "phone").mkdir()
    (photos / "1.JXL").rename("phone/1.JXL")
    with pytest.raises(UsageError, match=r"no picture to submit: left out: 1 \.JXL \(convert it"):
        left_out("phone")


def test_a_format_of_an_extra_is_a_picture_where_its_library_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is damaged, by its name; elsewhere the extra is named."""
    heic, dicom = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), bytes(128) + b"DICM" + bytes(99)
    for name, data in {"a.HEIC": heic, "b": dicom, "c.heif": b"cut", "d.dcm": dicom}.items():
        (tmp_path / name).write_bytes(data)
    assert left_out(tmp_path) == ([str(tmp_path / name) for name in ("a.HEIC", "b", "c.heif", "d.dcm")], {})

    (tmp_path / "e.png").write_bytes(picture())
    for library in ("pillow_heif", "pydicom"):
        monkeypatch.setitem(sys.modules, library, None)
    expansion = Expansion([tmp_path], store=no_store)
    assert [source.name for source in expansion] == [str(tmp_path / "e.png")]
    assert expansion.left_out.counts == {".HEIC": 1, ".dcm": 1, ".heif": 1, "without a suffix": 1}
    said = str(expansion.left_out)
    assert "1 .HEIC (install camq[heic], or convert it: heif-convert FILE FILE.jpg)" in said
    assert "1 .dcm (install camq[dicom], or " in said


def test_there_are_only_so_many_kinds() -> None:
    """A folder of strangers may have a million."""
    counted = LeftOut()
    for number in range(2 * MOST_KINDS):
        counted.file(f"a.x{number}")
    counted.file("a." + "long" * 9)

    assert len(counted.counts) == MOST_KINDS + 1
    assert counted.counts[OTHER] == MOST_KINDS + 1


def test_a_folder_that_cannot_be_listed_costs_itself_alone(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is inside another; one that was named is an error."""
    scandir = os.scandir

    def refused(path: str) -> object:
        if os.fspath(path).endswith("/deep"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    found, passed_over = left_out(str(photos))

    assert len(found) == 3
    assert passed_over == {".txt": 1, "folders that cannot be listed": 1}
    with pytest.raises(UsageError, match="cannot list the folder"):
        left_out(str(photos / "sub" / "deep"))


@pytest.mark.parametrize("folder", ["photos [old]", "Images (1) [2023]", "a*b?", "x/[in] here/[a]"])
def test_square_brackets_in_a_real_folders_name_are_its_name(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not exist as it is written stays a pattern."""
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "1.png").write_bytes(picture())
    monkeypatch.chdir(tmp_path)

    assert names(f"{folder}/*.png") == names(f"{folder}/[0-9].png") == names(folder) == [f"{folder}/1.png"]
    assert names(f"{tmp_path}/{folder}/*") == [f"{tmp_path}/{folder}/1.png"]


def test_storage_is_asked_a_few_times_for_each_ending() -> None:
    """A request for each of a million text files beside a million pictures would take hours."""
    asked: list[str] = []

    class Asked(MemoryStore):
        def head(self, key: str, size: int) -> bytes:
            asked.append(key)
            return super().head(key, size)

    store = Asked("mine")
    store.ensure_bucket()
    for number in range(30):
        store.put(f"p/{number:02}.txt", b"text")
        store.put(f"p/{number:02}.bin", picture())
    found, passed_over = left_out("s3://mine/p/", store=lambda: store)

    assert (len(found), passed_over) == (30, {".txt": 30})
    assert len([key for key in asked if key.endswith(".txt")]) == MOST_ASKED
