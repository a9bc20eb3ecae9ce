"""Small files that would cost a decoder gigabytes or minutes, by the limits that a worker has without settings."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from shared.contract import Options
from shared.errors import ImageError
from tests import fuzz
from tests.numeric.pictures import encoded, photo
from tests.support.pictures import bombs
from worker.core.types import InputSpec, Limits
from worker.pictures import wire
from worker.pictures.pool import Pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIDE = bombs.SIDE
SETUP = wire.Setup(InputSpec(), Limits(), 120.0)


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    with closing(Pictures(SETUP, 1)) as made:
        yield made


def fate(pictures: Pictures, data: bytes) -> str:
    try:
        with pictures.open(data, Options(), lambda: None) as picture:
            return f"{picture.geometry.width} x {picture.geometry.height}"
    except ImageError as error:
        return error.code


@pytest.mark.parametrize(
    ("make", "ends"),
    [
        (partial(bombs.tiff, SIDE, SIDE), {f"{SIDE} x {SIDE}"}),
        (partial(bombs.png, SIDE, SIDE, 0, 16), {f"{SIDE} x {SIDE}"}),
        (partial(bombs.png, SIDE, SIDE, 6, 8), {f"{SIDE} x {SIDE}"}),
        (partial(bombs.png, SIDE, SIDE, 3, 1), {f"{SIDE} x {SIDE}"}),
        (partial(bombs.jpeg, 13_312, 13_312, 4, 4), {"13312 x 13312", "too_large"}),
        (partial(bombs.png, 2 * SIDE, SIDE, 0, 1), {"too_large"}),
    ],
    ids=["float TIFF", "16-bit PNG", "PNG with alpha", "palette", "progressive CMYK", "too many pixels"],
)
def test_the_largest_pictures_stay_within_the_memory_of_one(
    pictures: Pictures, make: Callable[[], bytes], ends: set[str]
) -> None:
    """A few kilobytes of 178 million pixels: 12 bytes a pixel are enough, and no process dies of one."""
    assert fate(pictures, make()) in ends
    assert pictures.lanes.deaths == [0]

    (pid,) = pictures.lanes.pids()
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert 1024 * peak < SETUP.memory + (200 << 20)


def test_a_progressive_jpeg_without_memory_for_it_is_too_large_and_a_damaged_one_is_damaged() -> None:
    """Of both libjpeg says that the data is broken. The first one has memory for its pixels and no more."""
    whole = bombs.jpeg(13_312, 13_312, 4, 4)
    with closing(Pictures(wire.Setup(InputSpec(), Limits(), 120.0, 900 << 20), 1)) as pictures:
        assert fate(pictures, whole) == "too_large"
        small = bombs.jpeg(640, 640, 4, 3)
        assert fate(pictures, small) == "640 x 640"
        assert fate(pictures, small[: len(small) // 2]) == "truncated"
        assert pictures.lanes.deaths == [0]


def test_a_picture_of_endless_scans_costs_its_seconds_and_no_more() -> None:
    """A progressive JPEG of 80 KB that Pillow would decode for minutes; the next picture is decoded as ever."""
    with closing(Pictures(wire.Setup(InputSpec(), Limits(), 1.0), 1)) as pictures:
        assert fate(pictures, bombs.jpeg(5120, 5120, 2000)) == "timeout"
        assert fate(pictures, encoded(photo(90, 60), "PNG")) == "90 x 60"


def test_damaged_pictures_have_an_answer_of_their_own(tmp_path: Path) -> None:
    """A minute of what `make fuzz` does for ten."""
    assert fuzz.main(["--minutes=1", f"--seed={os.getpid()}", f"--out={tmp_path}"]) == 0
