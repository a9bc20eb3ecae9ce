"""Single pictures of archives, as a table names them row by row: the archive is not looked through for each."""

import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from producer.inputs.archives import archive
from producer.inputs.expand import Expansion
from producer.inputs.notes import Notes, Row
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import picture
from tests.support.pictures.archives import pack

COUNT = 60
PICTURES = {f"{number:02}.png": picture(colour=(number, 0, 0)) for number in range(COUNT)}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each library began to read an archive."""
    counts: Counter[str] = Counter()

    def counting(name: str, real: type | object) -> object:
        def begin(*args: object, **more: object) -> object:
            counts[name] += 1
            return real(*args, **more)  # type: ignore[operator]

        return begin

    monkeypatch.setattr(archive.zipfile, "ZipFile", counting("zip", zipfile.ZipFile))
    monkeypatch.setattr(archive.tarfile, "open", counting("tar", tarfile.open))
    return counts


def read(names: list[str]) -> list[bytes]:
    rows = [Row(name, Notes()) for name in names]
    return [source.read(1_000_000) for source in Expansion(rows, store=MemoryStore)]


@pytest.mark.parametrize(
    ("name", "kind", "most"), [("a.zip", "zip", 1), ("a.tar", "tar", 1), ("a.tar.gz", "tar", 2), ("a.tgz", "tar", 2)]
)
def test_a_table_of_all_pictures_of_an_archive_reads_it_once(
    name: str, kind: str, most: int, opened: Counter[str], tmp_path: Path
) -> None:
    """A compressed one as often as any submission of it: once for its list, once for its pictures."""
    packed = pack(tmp_path / name, PICTURES)
    opened.clear()
    assert read([f"{packed}/{inner}" for inner in PICTURES]) == list(PICTURES.values())
    assert opened[kind] <= most


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_rows_stand_in_any_order_and_name_any_archive(name: str, opened: Counter[str], tmp_path: Path) -> None:
    """Backwards, twice, of two archives in turn."""
    first, second = (pack(tmp_path / f"{number}{name}", PICTURES) for number in range(2))
    opened.clear()
    inner = [*reversed(PICTURES), *list(PICTURES)[:3]]
    names = [f"{packed}/{each}" for each in inner for packed in (first, second)]
    assert read(names) == [PICTURES[each] for each in inner for _ in range(2)]
    if name != "a.tar.gz":  # whose pictures can only be met in order
        assert opened.total() <= 2 * 2


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_pages_and_what_is_not_there(name: str, tmp_path: Path) -> None:
    """A page of a picture, unless one is really called so."""
    packed = pack(tmp_path / name, PICTURES | {"01.png#2": picture(colour=(1, 2, 3))})
    rows = [Row(f"{packed}/{inner}", Notes()) for inner in ("03.png", "01.png#2", "00.png#7", "none.png", "02.png#1")]
    found = list(Expansion(rows, store=MemoryStore))

    assert [source.page for source in found] == [None, None, 7, None, 1]
    assert found[1].read(1_000_000) == picture(colour=(1, 2, 3))
    assert found[4].read(1_000_000) == PICTURES["02.png"]
    with pytest.raises(Exception, match=r"has no picture none\.png"):
        found[3].read(1_000_000)
