"""The commands of docs/tutorial.md and docs/how-to/trust.md, and the cells of docs/first-look.ipynb, as they stand."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.deployment.pages import ROOT, Block, blocks
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(400)]

FIRST, *SECOND = blocks(ROOT / "docs" / "tutorial.md", "sh", "python")
TRUST = ROOT / "docs" / "how-to" / "trust.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `.venv`, which is all that the tutorial needs of a checkout."""
    found = tmp_path_factory.mktemp("tutorial")
    (found / ".venv").symlink_to(ROOT / ".venv")
    return found


@pytest.fixture(scope="module")
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


def without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CAMQ_")}


def script(block: Block) -> str:
    return f"python - <<'END'\n{block.text}END\n" if block.language == "python" else block.text


def second_terminal(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """One shell that stops at the first failure."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=without_settings(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_tutorial_does_what_it_says(folder: Path, first_terminal: Path) -> None:
    """The other blocks run in order."""
    done = second_terminal("".join(map(script, SECOND)), folder)

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


@pytest.mark.usefixtures("first_terminal")
def test_the_page_on_ground_truth_does_what_it_says(folder: Path) -> None:
    """Every block runs, in order, with the model that the tutorial serves; the output shown is the real one."""
    photographs, served, *others = blocks(TRUST, "sh", "python")
    (shown,) = blocks(TRUST, "text")
    assert served.text == "camq up --model efficientnet_lite0\n"
    load = "PATH=$PWD/.venv/bin:$PATH; set -a; . camq-data/camq.env; set +a\n"

    done = second_terminal(load + "".join(map(script, (photographs, *others))), folder)

    assert done.returncode == 0, done.stderr
    digits = re.compile(r"(?<=calibration error: )2\d\.\d%")  # the last one depends on the processor
    assert digits.sub("", shown.text) in digits.sub("", done.stdout)
    assert "labelled/missile/rocket.png\tmissile\tdrilling platform\n" in done.stdout
    assert "<html" in (folder / "right.html").read_text("utf-8")


def test_the_notebook_runs_from_its_first_cell_to_its_last(folder: Path, first_terminal: Path) -> None:
    """Its cells in one Python, as a kernel runs them; the last expression of a cell is shown as text."""
    notebook = json.loads((ROOT / "docs" / "first-look.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shown = (
        "import ast, sys\nfor text in "
        + repr(cells)
        + ":\n    "
        + "\n    ".join(
            (
                "*first, last = ast.parse(text).body",
                "exec(compile(ast.Module(first, []), 'cell', 'exec'))",
                "kind = 'eval' if isinstance(last, ast.Expr) else 'exec'",
                "tree = ast.Expression(last.value) if kind == 'eval' else ast.Module([last], [])",
                "value = eval(compile(tree, 'cell', kind))",
                "None if value is None else print(repr(value))",
            )
        )
    )
    done = subprocess.run(
        ["bash", "-euc", "set -a; . camq-data/camq.env; set +a; exec .venv/bin/python -"],
        input=shown,
        cwd=folder,
        env=without_settings(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Egyptian cat: " in done.stdout
    assert "7 by 7 cells, the hottest in row " in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if line.endswith("%")] == [
        "coffee",
        "astronaut",
        "cat",
    ]
    assert "<PIL" in done.stdout
