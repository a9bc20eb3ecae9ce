"""A page on disk and its pictures: what is replaced, what is refused, what is said."""

from pathlib import Path

import pytest

from producer.web.kit.page import render
from producer.web.kit.written import WrittenPage
from producer.written_folder import MARKER
from shared.errors import UsageError

PAGE = '<!doctype html>\n<meta name="generator" content="camq">\n'


def write(path: Path, *pictures: str, embed: bool = False) -> list[str]:
    """As a report is written; what is said of it."""
    said: list[str] = []
    with WrittenPage(path, embed=embed, notice=said.append) as page:
        addresses = [page.place(f"{name}.webp", name.encode()) for name in pictures]
        page.complete(PAGE + "\n".join(addresses))
    return said


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MARKER)


def test_folders_that_are_made_and_pages_that_are_replaced_are_said(tmp_path: Path) -> None:
    """So a mistyped folder is noticed; thumbnails of the page that was there before do not stay."""
    page = tmp_path / "new/folders/r.html"

    assert write(page, "0", "1") == [f"made the folder {page.parent}", f"2 thumbnails in {page.parent}/r_files"]
    assert write(page, "1") == [f"1 thumbnail in {page.parent}/r_files", f"replaced the page {page}"]
    assert files(page.parent) == ["r.html", "r_files/1.webp"]
    assert write(page, "1", embed=True) == [f"replaced the page {page}"]
    assert [path.name for path in page.parent.iterdir()] == ["r.html"]


@pytest.mark.parametrize("embed", [False, True])
def test_a_file_that_is_no_page_of_camqs_is_never_overwritten(tmp_path: Path, embed: bool) -> None:
    """And nothing appears beside it."""
    page = tmp_path / "thesis.html"
    page.write_text("<!doctype html><p>mine")

    with pytest.raises(UsageError, match=r"thesis\.html exists and was not written by camq: move it away"):
        write(page, "0", embed=embed)

    assert (page.read_text(), [path.name for path in tmp_path.iterdir()]) == ("<!doctype html><p>mine", ["thesis.html"])


def test_a_picture_that_is_somebody_elses_is_never_overwritten(tmp_path: Path) -> None:
    """Others that lie there stay as well."""
    mine = tmp_path / "r_files/0.webp"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")

    with pytest.raises(UsageError, match=r"0\.webp exists and was not written by camq"):
        write(tmp_path / "r.html", "0")
    write(tmp_path / "r.html", "1")
    write(tmp_path / "r.html", "2")

    assert (mine.read_bytes(), files(tmp_path)) == (b"mine", ["r.html", "r_files/0.webp", "r_files/2.webp"])


def test_a_page_that_cannot_be_finished_leaves_the_old_one_and_no_folder(tmp_path: Path) -> None:
    """Storage may go away at the last picture."""
    write(tmp_path / "r.html", "0")
    before = files(tmp_path)

    for page in (tmp_path / "r.html", tmp_path / "new/other.html"):
        with WrittenPage(page, embed=False) as writing:
            writing.place("1.webp", b"1")

    assert (files(tmp_path), (tmp_path / "new").exists()) == (before, False)


def test_every_page_of_camqs_says_so() -> None:
    """Or the next report could not replace it."""
    page = render("base.html")
    assert '<meta name="generator" content="camq">' in page[:1000]
