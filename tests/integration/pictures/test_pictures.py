"""Picture processes: what they answer, what they survive, and what they may do."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from shared.contract import Options
from shared.errors import ImageError, UnreachableError
from tests.numeric.pictures import class_map, encoded, in_mode, photo, render
from tests.support.pictures.dicoms import dicom
from tests.support.waiting import wait_until
from tests.support.worker.picture_pools import ACTS, LIMITS, SETUP, START_S, failure, go_on, that
from worker.core.picture.decode import decode
from worker.core.picture.preprocess import prepare
from worker.core.types import Caption, InputSpec
from worker.pictures import pool as module
from worker.pictures import wire
from worker.pictures.pool import DEATHS_TO_POISON, Picture, Pictures

MAPS = (class_map(np.arange(49).reshape(7, 7)), class_map(-np.eye(7), 2))


@pytest.fixture(scope="module")
def pictures() -> Iterator[Pictures]:
    """Two processes, as the worker starts them."""
    with closing(Pictures(SETUP, 2)) as made:
        wait_until(lambda: len(made.lanes.pids()) == 2, "both run", START_S)
        yield made


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", Options()),
        ("PNG", "RGBA", Options(heatmaps=True, format="png", colormap="viridis")),
        ("TIFF", "F", Options(resize="center-crop", format="webp", scale="shared")),
        ("PPM", "RGB", Options(overlay="input", input_size=96)),
        ("AVIF", "RGB", Options(overlay_size=64)),
        ("ICO", "RGBA", Options()),
        ("JPEG", "RGB", Options(heatmaps="full", masks=True, boxes=3, resize="letterbox")),
        ("PNG", "RGB", Options(overlay="transparent", format="webp", overlay_size=300)),
    ],
)
def test_an_answer_is_that_of_the_same_work_here(pictures: Pictures, kind: str, mode: str, options: Options) -> None:
    """Network input, geometry, files, boxes and numbers, to the last bit."""
    data = encoded(in_mode(photo(90, 60), mode), kind)
    expected = prepare(data, options, SETUP.spec, LIMITS)

    with pictures.open(data, options, go_on) as picture:
        assert picture.geometry == expected.geometry
        assert np.array_equal(picture.pixels, expected.pixels)
        assert picture.draw(MAPS) == render(expected, MAPS, options)


def test_captions_are_written_where_no_file_can_be_opened(pictures: Pictures) -> None:
    """The font is there already, in sizes that nobody asked for before."""
    options = Options(caption=True, format="png")
    captions = [Caption("Łoś", each.class_index, 0.25) for each in MAPS]
    data = encoded(photo(400, 301), "PNG")
    with pictures.open(data, options, go_on) as picture:
        drawn = picture.draw(MAPS, captions)
    expected = render(prepare(data, options, SETUP.spec, LIMITS), MAPS, options, captions)
    assert drawn == expected
    assert drawn != render(prepare(data, options, SETUP.spec, LIMITS), MAPS, options)


def test_a_large_picture_asks_for_its_memory_and_gives_it_back(pictures: Pictures) -> None:
    """The exact picture, and afterwards the budget is whole; what is made at its own size counts."""
    data = encoded(photo(2000, 1500), "JPEG")
    with pictures.open(data, Options(masks=True), go_on):
        large = pictures.budget.taken
    with pictures.open(data, Options(), go_on) as picture:
        assert large - pictures.budget.taken == wire.BYTES_PER_FULL_PIXEL * 2000 * 1500
        assert 0 < pictures.budget.taken < wire.BYTES_PER_PIXEL * 2000 * 1500
        assert np.array_equal(picture.pixels, prepare(data, Options(), SETUP.spec, LIMITS).pixels)

    assert pictures.budget.taken == 0


def test_a_failure_is_the_pictures_own_and_the_process_goes_on(pictures: Pictures) -> None:
    """It has the decoder's code and words."""
    before = pictures.lanes.pids()
    for data in (b"", b"<html>", encoded(photo(), "JPEG")[:300], encoded(photo(2100, 2000), "PNG")):
        with pytest.raises(ImageError) as here:
            decode(data, LIMITS)
        there = failure(pictures, data)
        assert (there.code, there.message) == (here.value.code, here.value.message)

    assert pictures.lanes.pids() == before


@pytest.mark.parametrize(
    ("data", "code", "says", "deaths"),
    [
        (b"KILL", "poison", "2 times", 2),
        pytest.param(b"SPIN", "timeout", "CAMQ_DECODE_S", 1, marks=pytest.mark.slow),
        (b"HANG", "timeout", "CAMQ_DECODE_S", 1),
        (b"EATS", "too_large", "CAMQ_MAX_IMAGE_PIXELS", 0),
    ],
)
def test_a_picture_that_ends_its_process_costs_nobody_else(data: bytes, code: str, says: str, deaths: int) -> None:
    """Limits are final; only a death without a reason is tried once more. Then the lane has a new process."""
    with closing(Pictures(wire.Setup(InputSpec(), LIMITS, 0.5), 1, command=ACTS)) as pictures:
        with pictures.open(encoded(photo(), "PNG"), Options(), go_on):
            pass
        failed = failure(pictures, data)
        assert pictures.lanes.deaths[0] == deaths
        with pictures.open(encoded(photo(), "PNG"), Options(), go_on) as picture:
            assert picture.draw(MAPS)

    assert (failed.code, says in failed.message) == (code, True)


def test_one_death_may_be_chance(tmp_path: Path) -> None:
    """The picture gets a second process, and its answer."""
    note = str(tmp_path / "died")
    Path(note).touch()
    # A process can open no file; that one was there before shows in whether it is the first.
    *python, program = that("MARK and len(data) == LENGTH and signal.raise_signal(9)")()
    data = encoded(photo(), "PNG")
    program = (
        f"import os\nLENGTH = {len(data)}\nMARK = os.path.exists({note!r})\nMARK and os.unlink({note!r})\n" + program
    )
    with closing(Pictures(SETUP, 1, command=lambda: [*python, program])) as pictures:
        with pictures.open(data, Options(), go_on) as picture:
            assert picture.draw(MAPS)
        assert pictures.lanes.deaths == [1]


@pytest.mark.slow
def test_pictures_whose_canvas_is_lost_are_decoded_again_uncharged() -> None:
    """As often as neighbours die: three times is more than a picture of its own may."""
    data = encoded(photo(90, 60), "PNG")
    expected = render(prepare(data, Options(), SETUP.spec, LIMITS), MAPS, Options())
    with closing(Pictures(SETUP, 1, command=ACTS)) as pictures, pictures.open(data, Options(), go_on) as picture:
        for _ in range(2):
            assert failure(pictures, b"KILL").code == "poison"
            picture.decode()
        assert failure(pictures, b"KILL").code == "poison"

        assert picture.draw(MAPS) == expected


@pytest.mark.slow
def test_a_process_killed_at_rest_is_nobodys_fault() -> None:
    """However often: the picture that it held, or that comes next, is not charged with it."""
    data = encoded(photo(), "PNG")
    with closing(Pictures(SETUP, 1)) as pictures, pictures.open(data, Options(), go_on) as picture:
        for _ in range(DEATHS_TO_POISON + 1):
            (pid,) = pictures.lanes.pids()
            process = psutil.Process(pid)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda process=process: process.status() == psutil.STATUS_ZOMBIE, "it is dead", START_S)
            picture.decode()
        assert picture.draw(MAPS)


@pytest.mark.slow
def test_drawing_does_not_wait_behind_a_long_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done in another process; the first one is still busy then."""
    monkeypatch.setattr(module, "DRAW_WAIT_S", 0.2)
    with closing(Pictures(wire.Setup(InputSpec(), LIMITS, 30.0), 2, command=ACTS)) as pictures:
        wait_until(lambda: len(pictures.lanes.pids()) == 2, "both run", START_S)
        with pictures.open(encoded(photo(), "PNG"), Options(), go_on) as picture:
            place = picture.place
            assert place
            stop = threading.Event()

            def check() -> None:
                if stop.is_set():
                    raise InterruptedError

            def hang() -> None:
                with pytest.raises(InterruptedError), pictures.open(b"HANG", Options(), check):
                    pass

            # One of two hangs in each process in turn, until it is the one with the canvas.
            with ThreadPoolExecutor(2) as threads:
                hung = threads.submit(hang)
                wait_until(lambda: any(pictures.lanes.decoding), "it hangs", START_S)
                if pictures.lanes.decoding[place.lane]:
                    assert picture.draw(MAPS)
                    assert pictures.lanes.decoding[place.lane]
                stop.set()
                hung.result()


@pytest.mark.slow
def test_what_nobody_waits_for_leaves_no_canvas(pictures: Pictures) -> None:
    """Given up while it was decoded, or before it was drawn."""

    def give_up() -> None:
        raise InterruptedError

    for _ in range(5):
        with pytest.raises(InterruptedError), pictures.open(encoded(photo(800, 600), "PNG"), Options(), go_on):
            raise InterruptedError
        picture = Picture(pictures, encoded(photo(1200, 1000), "PNG"), Options(), give_up, urgent=False)
        with suppress(InterruptedError):
            picture.decode()
        picture.close()
    assert pictures.budget.taken == 0


def test_processes_that_do_not_start_hand_the_work_back() -> None:
    """No picture is to blame."""
    dies = Pictures(SETUP, 1, command=lambda: [sys.executable, "-c", "raise SystemExit(3)"])
    with closing(dies), pytest.raises(UnreachableError, match="do not start"), dies.open(b"any", Options(), go_on):
        pass


def test_many_pictures_at_once_get_their_own_answers(pictures: Pictures) -> None:
    """None sees another's."""

    def width(side: int) -> tuple[int, int]:
        with pictures.open(encoded(photo(side, 40), "JPEG"), Options(), go_on) as picture:
            picture.draw(MAPS)
            return side, picture.geometry.width

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(width, range(20, 120)))

    assert all(asked == got for asked, got in found)


def test_an_error_that_nobody_foresaw_is_the_pictures_and_its_trace_is_logged(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The process goes on: it writes to no file, not even to a log."""
    with closing(Pictures(SETUP, 1, command=that("1 / (data[:4] != b'ODD!')"))) as pictures:
        failed = failure(pictures, b"ODD!")
        assert pictures.lanes.deaths == [0]

    assert (failed.code, "ZeroDivisionError" in failed.message) == ("inference", True)
    # Where the line goes depends on whether an earlier test of this process set up a worker's logs.
    assert "a picture's work failed" in capsys.readouterr().out + caplog.text


def test_a_library_is_loaded_when_its_first_picture_comes() -> None:
    """By a new process in place of the one that had met it; canvases that were there are decoded again, uncharged."""
    plain, scan = encoded(photo(90, 60), "PNG"), dicom(np.full((9, 30), 7, np.uint16), WindowCenter=7.5, WindowWidth=1)
    with closing(Pictures(SETUP, 1)) as pictures, pictures.open(plain, Options(), go_on) as first:
        wait_until(pictures.lanes.pids, "it runs", START_S)
        before = pictures.lanes.pids()
        with pictures.open(scan, Options(overlay_size=16), go_on) as second:
            assert (second.geometry.width, second.geometry.height) == (30, 9)
            assert pictures.lanes.pids() != before
            after = pictures.lanes.pids()
            assert len(first.draw(MAPS)) == len(MAPS)
            assert len(second.draw(MAPS)) == len(MAPS)
        with pictures.open(scan, Options(), go_on):
            assert pictures.lanes.pids() == after


@pytest.mark.slow
def test_a_process_that_asks_for_what_it_has_is_not_believed() -> None:
    """Else it could have itself started again for ever."""
    asks = that("raise p.NeededError('pydicom')")
    with closing(Pictures(SETUP, 1, command=asks)) as pictures:
        assert failure(pictures, encoded(photo(), "PNG")).code == "poison"
