"""Take docs/images/report.jpg, report-phone.jpg and ui.jpg anew: `.venv/bin/python -m docs.figures.screenshots`.

Servers, a worker with efficientnet_lite0, scikit-image's photographs and two broken files, a report and the live page:
all real, and looked at in a headless Chromium, which must be on the PATH. About a minute on two cores.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import skimage
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from docs.figures.svg import IMAGES

CAMQ = str(Path(sys.executable).with_name("camq"))
PHOTOGRAPHS = (
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "rocket.jpg",
    "astronaut.png",
    "camera.png",
    "horse.png",
)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    """All three pages."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("there is no chromium on the PATH (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as environment, sync_playwright() as playwright:
        folder = Path(name)
        job = explain(folder, environment)
        camq(environment, "report", job, "-o", str(folder / "report.html"))
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        report = (folder / "report.html").as_uri()
        take(browser, report, "report", (1280, 960))
        take(browser, report, "report-phone", (390, 844), scale=1.5)
        with child([CAMQ, "ui"], environment) as ui:
            take(browser, first_line(ui), "ui", (1280, 860))
        browser.close()


def explain(folder: Path, environment: dict[str, str]) -> str:
    """Three jobs, of which the last is the one to look at; its id."""
    photographs = folder / "photographs"
    photographs.mkdir()
    for file in PHOTOGRAPHS:
        shutil.copy(Path(skimage.__file__).parent / "data" / file, photographs)
    for name, options in (("Cats and cups", ["--tag", "nightly"]), ("Second look", ["--method", "layercam"])):
        camq(environment, "submit", "photographs", "--wait", "--name", name, *options, folder=folder)
    (photographs / "notes.jpg").write_text("not a picture")
    whole = (photographs / "rocket.jpg").read_bytes()
    (photographs / "cut-off.jpg").write_bytes(whole[: len(whole) // 3])
    submit = ["photographs", "--wait", "--name", "Photographs", "--job-id", "photographs"]
    camq(environment, "submit", *submit, folder=folder, expected=1)
    return "photographs"


def take(browser: Browser, address: str, name: str, size: tuple[int, int], *, scale: float = 1) -> None:
    """One page, once its pictures are there, as JPEG."""
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height}, device_scale_factor=scale, color_scheme="light"
    )
    page.goto(address, wait_until="networkidle")
    with BytesIO(page.screenshot()) as shot:
        Image.open(shot).convert("RGB").save(IMAGES / f"{name}.jpg", quality=85, optimize=True)
    page.close()


@contextmanager
def served(folder: Path) -> Iterator[dict[str, str]]:
    """`camq up` in this folder; the environment that leads to it."""
    command = [CAMQ, "up", "--data", str(folder / "data"), "--model", "efficientnet_lite0"]
    with child(command, dict(os.environ)) as up:
        while "ready" not in (line := first_line(up)):
            if not line:
                raise SystemExit("camq up ended before it was ready")
        lines = (folder / "data" / "camq.env").read_text().splitlines()
        yield os.environ | dict(line.split("=", 1) for line in lines if "=" in line)


@contextmanager
def child(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped as Ctrl-C would; all it says can be read."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def first_line(process: subprocess.Popen[str]) -> str:
    """The next line that it says; empty when it ended."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    return process.stdout.readline().strip()


def camq(environment: dict[str, str], *arguments: str, folder: Path | None = None, expected: int = 0) -> None:
    """Run one command, which ends with this status."""
    done = subprocess.run([CAMQ, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != expected:
        raise SystemExit(f"camq {' '.join(arguments)}: {done.stderr}")


if __name__ == "__main__":
    main()
