"""The commands of docs/tutorial.md, run as they are printed there."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.pages import ROOT, Block, blocks
from tests.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

FIRST, *SECOND = blocks(ROOT / "docs" / "tutorial.md", "sh", "python")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a `.venv`, which is all that the tutorial needs of a checkout."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


@pytest.fixture
def first_terminal(folder: Path) -> Iterator[Path]:
    """Run the first block until the test ends, then interrupt it; yields the file with its output."""
    said = folder / "first-terminal.txt"
    with said.open("wb") as file:
        process = subprocess.Popen(
            ["bash", "-euc", FIRST.text.replace("camq up", "exec camq up")], cwd=folder, stdout=file, stderr=file
        )
    try:
        wait_until(lambda: process.poll() is not None or "ready:" in said.read_text(), "camq up is ready", 150)
        assert process.poll() is None, said.read_text()
        yield said
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def script(block: Block) -> str:
    return f"python - <<'END'\n{block.text}END\n" if block.language == "python" else block.text


def test_the_tutorial_does_what_it_says(folder: Path, first_terminal: Path) -> None:
    """The other blocks run in order, in one shell that stops at the first failure."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(map(script, SECOND))],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("CAMQ_")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "exit status 1" in done.stdout
    assert "photos/coffee.png espresso" in done.stdout
    assert done.stdout.rstrip().endswith("succeeded")
    for picture in ("chelsea-overlay.jpg", "looked/overlays/0-1.jpg", "looked/overlays/2-5.jpg"):
        with Image.open(folder / picture) as overlay:
            assert overlay.format == "JPEG"
    assert "<html" in (folder / "report.html").read_text("utf-8")
    shown = first_terminal.read_text()
    assert "ready: 1 worker on cpu, serving efficientnet_lite0@" in shown
    assert f"in another terminal:  set -a; . {folder}/camq-data/camq.env; set +a" in shown
