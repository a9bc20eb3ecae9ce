"""What a download does to a folder that is not empty."""

from pathlib import Path

from producer.results.download import clear


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_earlier_jobs_pictures_do_not_lie_among_the_new_ones(tmp_path: Path) -> None:
    """They would look current: the new job has an image of the same number. What is not camq's stays."""
    mine = {"overlays/mine.jpg", "overlays/1-2.txt", "notes.md", "maps/0-1.npz"}
    fill(tmp_path, "results.jsonl", "overlays/0-1.jpg", "overlays/12-3.webp", "heatmaps/0-1.png", "maps/0.npz", *mine)
    clear(tmp_path)

    assert left(tmp_path) == mine


def test_a_folder_without_results_of_ours_is_not_touched(tmp_path: Path) -> None:
    """Somebody else's `0-1.jpg` may be anything."""
    fill(tmp_path, "overlays/0-1.jpg")
    clear(tmp_path)

    assert left(tmp_path) == {"overlays/0-1.jpg"}
