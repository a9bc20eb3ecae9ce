"""A folder that tests of inputs share."""

from pathlib import Path

import pytest

from tests.support.jobs.scripted_worker import picture


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as people have them, and the working directory above it."""
    for name in ("b.JPG", "a.png", "sub/c.webp", "sub/.hidden.png", ".git/d.png", "notes.txt", "sub/deep/e.tif"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"text" if name == "notes.txt" else picture())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"
