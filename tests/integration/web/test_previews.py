"""Thumbnails made in a process of their own: what it costs when one is asked for often, or goes wrong."""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image

from producer.web.kit import previews as module
from producer.web.kit.previews import AbandonedError, Previews
from producer.web.kit.thumbnails import thumbnail
from shared.contract.preview import PreviewRequest
from tests.numeric.pictures import encoded, photo, turned
from tests.support.pictures import bombs
from tests.support.pictures.dicoms import dicom
from tests.support.waiting import wait_until

#: A declared test adapter of the process: the real one, which hangs on certain bytes, and dies of others.
PROGRAM = """
import runpy, signal, time
import producer.web.kit.thumbnails as t
real = t.thumbnail
def thumbnail(data, side, **wishes):
    while data == b"HANG": time.sleep(1)
    data == b"KILL" and signal.raise_signal(11)
    return real(data, side, **wishes)
t.thumbnail = thumbnail
runpy.run_module("producer.web.kit.preview_process", run_name="__main__")
"""
DATA = encoded(photo(90, 60), "JPEG")
SMALL = PreviewRequest(side=50)


@pytest.fixture
def previews() -> Iterator[Previews]:
    with Previews(command=[sys.executable, "-c", PROGRAM], rest=None) as made:
        yield made


def test_a_thumbnail_is_that_of_the_same_work_here() -> None:
    """By the process as the page starts it."""
    with Previews() as previews:
        assert previews.make("a", lambda: DATA, SMALL) == thumbnail(DATA, 50)
        assert previews.make("b", lambda: b"no picture", SMALL) is None
        assert previews.make("c", lambda: None, SMALL) is None


def test_what_hangs_or_dies_has_no_thumbnail_and_the_next_one_has(
    previews: Previews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the price of a process."""
    assert previews.make("a", lambda: DATA, SMALL)
    monkeypatch.setattr(module, "LIMIT_S", 0.3)
    for data in (b"HANG", b"KILL"):
        assert previews.make(repr(data), lambda data=data: data, SMALL) is None
    monkeypatch.setattr(module, "LIMIT_S", 30.0)
    assert previews.make("b", lambda: DATA, SMALL)


def asking() -> tuple[set[int], Callable[[], bool]]:
    """The threads that wait for a thumbnail, and what each of them calls meanwhile."""
    threads: set[int] = set()

    def wanted() -> bool:
        threads.add(threading.get_ident())
        return True

    return threads, wanted


def test_a_thumbnail_is_made_once_however_many_ask(previews: Previews) -> None:
    """All of them get it. Nothing is kept of it: whoever asks later has it made again."""
    reads, gate = [], threading.Event()
    threads_that_wait, wanted = asking()

    def read() -> bytes:
        reads.append(1)
        gate.wait(60)
        return DATA

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(previews.make, "a", read, SMALL, wanted) for _ in range(8)]
        wait_until(lambda: len(threads_that_wait) == 8, "all ask", 60)
        gate.set()
        found = {answer.result() for answer in asked}

    assert (len(reads), found) == (1, {thumbnail(DATA, 50)})
    assert previews.make("a", read, SMALL) in found
    assert len(reads) == 2


def test_one_that_nobody_wants_any_more_is_stopped(previews: Previews) -> None:
    """As when a browser closes its connections; whoever comes next does not wait for it."""
    assert previews.make("a", lambda: DATA, SMALL)
    with ThreadPoolExecutor(2) as threads:
        closed = threading.Event()
        threads_that_wait, wanted = asking()
        given = ("b", lambda: b"HANG", SMALL, lambda: wanted() and not closed.is_set())
        asked = [threads.submit(previews.make, *given) for _ in range(2)]
        wait_until(lambda: len(threads_that_wait) == 2, "both ask", 60)
        closed.set()
        for answer in asked:
            with pytest.raises(AbandonedError):
                answer.result()

    assert previews.make("c", lambda: DATA, SMALL)


@pytest.mark.parametrize("absent", ["worker.pictures.preview", "worker.pictures", "worker", "numpy"])
def test_without_the_workers_half_nothing_is_started(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    """It is asked for by name, so it is looked for first: the module as well as what it imports."""
    assert module.workers_command()
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{absent}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, absent, None)
    assert module.workers_command() is None


def test_of_the_workers_extra_its_half_needs_numpy_alone() -> None:
    """As `workers_command` has it: without the rest it starts, and reads what it can."""
    rest = ["torch", "torchvision", "onnxruntime", "onnx", "scipy", "cmap", "psutil", "pynvml", "prometheus_client"]
    program = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({[*rest, 'standardwebhooks', 'tifffile']!r}));"
        "runpy.run_module('worker.pictures.preview', run_name='__main__')"
    )
    frames = encoded(Image.new("L", (60, 40)), "TIFF", save_all=True, append_images=[Image.new("L", (60, 40), 200)])
    with Previews(rest=[sys.executable, "-P", "-c", program]) as previews:
        assert previews.make("a", lambda: frames, PreviewRequest(side=64, page=2))


def test_a_bomb_has_no_thumbnail_and_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progressive JPEG of 80 KB with hundreds of scans, which Pillow would decode for many seconds."""
    monkeypatch.setattr(module, "LIMIT_S", 0.5)
    bomb = bombs.jpeg(5120, 5120, 500)
    assert len(bomb) < 200_000
    with Previews() as previews:
        assert previews.make("small", lambda: encoded(Image.new("RGB", (9, 9)), "PNG"), SMALL)
        assert previews.make("bomb", lambda: bomb, SMALL) is None


def shades(data: bytes | None) -> np.ndarray[Any, Any]:
    """Of a preview, in grey."""
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int)


def test_what_only_workers_read_has_a_preview_as_bright_as_its_overlay() -> None:
    """HEIC, DICOM, TIFFs of many bands; later pages; the range of the job. By the worker's half, confined as well."""
    pillow_heif.register_heif_opener()
    ramp = np.repeat(np.linspace(0, 2047, 64).astype(np.uint16)[None], 48, axis=0)
    scan = dicom(np.stack([ramp, ramp[:, ::-1]]))
    bands = io.BytesIO()
    tifffile.imwrite(bands, np.dstack([ramp] * 5), photometric="minisblack", planarconfig="contig")
    frames = encoded(Image.new("L", (60, 40)), "TIFF", save_all=True, append_images=[Image.new("L", (60, 40), 200)])
    with Previews() as previews:

        def made(data: bytes, **wishes: Any) -> np.ndarray[Any, Any]:
            return shades(previews.make(repr(hash(data)), lambda: data, PreviewRequest(side=64, **wishes)))

        assert made(encoded(photo(90, 60), "HEIF")).shape == (43, 64)
        assert abs(made(scan)[20, -3] - 127) < 8  # 12 bits are stored
        assert abs(made(scan, page=2)[20, 2] - 127) < 8
        assert made(scan, page=2, range="0:2047")[20, 2] > 235
        assert made(bands.getvalue())[20, -3] > 235
        assert abs(made(frames, page=2).mean() - 200) < 3
        assert previews.make("third", lambda: frames, PreviewRequest(side=64, page=3)) is None
        assert previews.make("text", lambda: b"no picture", PreviewRequest(side=64)) is None


def test_a_preview_is_turned_as_the_model_sees_it() -> None:
    """A model whose training ignored the EXIF orientation has overlays that lie as the file does."""
    with Previews() as previews:
        data = turned(photo(60, 40), 6)
        shapes = [
            shades(previews.make("a", lambda: data, PreviewRequest(side=64, exif=exif))).shape for exif in (True, False)
        ]
        assert shapes == [(40, 60), (60, 40)]
