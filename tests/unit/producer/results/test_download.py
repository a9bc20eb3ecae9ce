"""What a download does to a folder that is not empty."""

from pathlib import Path

import pytest

from producer.results.folder import RESULTS, results_folder
from producer.written_folder import MARKER
from shared.errors import UsageError


def fill(folder: Path, *names: str, text: bytes = b"mine") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)


def found(folder: Path) -> dict[str, bytes]:
    """Every file but the marker, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def download(folder: Path, job: str, *names: str) -> str | None:
    """As `download` writes: these files and the results."""
    with results_folder(folder, job) as files:
        for name in (*names, RESULTS):
            with files.open(name) as file:
                file.write(job.encode())
        return files.complete(("overlays",)).before


def test_an_earlier_jobs_pictures_do_not_lie_among_the_new_ones(tmp_path: Path) -> None:
    """They would look current: the new job has an image of the same number. What is not camq's stays."""
    mine = dict.fromkeys(("overlays/mine.jpg", "overlays/7-1.jpg", "notes.md", "maps/0.npz"), b"mine")
    assert download(tmp_path, "old", "overlays/0-1.jpg", "overlays/12-3.webp", "heatmaps/0-1.png") is None
    fill(tmp_path, *mine)

    assert download(tmp_path, "new", "overlays/0-1.jpg") == "old"
    assert found(tmp_path) == {"overlays/0-1.jpg": b"new", RESULTS: b"new", **mine}


@pytest.mark.parametrize("theirs", [RESULTS, "overlays/0-1.jpg"])
def test_a_file_that_camq_did_not_write_is_never_replaced(tmp_path: Path, theirs: str) -> None:
    """The error names it, and nothing else of the download appears."""
    fill(tmp_path, theirs)

    with pytest.raises(UsageError, match=rf"{theirs} exists and was not written by camq"):
        download(tmp_path, "job", "overlays/0-1.jpg")

    assert found(tmp_path) == {theirs: b"mine"}


def test_a_download_that_fails_keeps_the_old_one(tmp_path: Path) -> None:
    """Storage may go away at the last picture."""
    download(tmp_path, "old", "overlays/0-1.jpg")
    before = found(tmp_path)

    with results_folder(tmp_path, "new") as files, files.open("overlays/0-1.jpg") as file:
        file.write(b"new")

    assert found(tmp_path) == before


def test_a_link_of_a_name_like_the_markers_is_not_followed(tmp_path: Path) -> None:
    """Nor is a file of the user's written over, whatever it is called."""
    fill(tmp_path, "precious.txt", f"out/{MARKER}.old")
    (tmp_path / "out" / f"{MARKER}.new").symlink_to(tmp_path / "precious.txt")

    download(tmp_path / "out", "job")

    assert (tmp_path / "precious.txt").read_bytes() == b"mine"
    assert (tmp_path / "out" / f"{MARKER}.new").is_symlink()
    assert (tmp_path / "out" / MARKER).read_text() == f"job\n{RESULTS}\n"


def test_a_marker_changed_by_hand_makes_nothing_else_camqs(tmp_path: Path) -> None:
    """Names outside of what camq writes are ignored."""
    folder = tmp_path / "out"
    fill(tmp_path, "precious.txt", "out/overlays/cat.jpg")
    fill(folder, MARKER, text=b"old\n../precious.txt\noverlays/cat.jpg\n")
    download(folder, "new")

    assert (tmp_path / "precious.txt").exists()
    assert (folder / "overlays/cat.jpg").exists()
