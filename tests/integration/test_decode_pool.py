"""Rare formats in a process of their own: what it survives, and what it costs."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from shared.config import Settings
from shared.errors import ImageError
from shared.pictures import COMMON_FORMATS
from worker.core.picture.decode import is_common
from worker.image.decode_pool import Decoding


def encoded(file_format: str, size: tuple[int, int] = (7, 5)) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, file_format)
    return buffer.getvalue()


def child_that(code: str) -> Callable[[], list[str]]:
    """A declared test adapter of the child: the real one, after `code` has changed what `decode` does."""
    program = (
        "import os, sys, time, worker.image.decode_child as d\n"
        "from shared.config import Settings\n"
        "real = d.decode\n"
        f"def decode(data, limits):\n    {code}\n    return real(data, limits)\n"
        "d.decode = decode\n"
        "d.main(Settings.load(), sys.stdin.buffer, sys.stdout.buffer)\n"
    )
    return lambda: [sys.executable, "-c", program]


@pytest.fixture
def decoding() -> Iterator[Decoding]:
    with closing(Decoding(Settings(), 1)) as made:
        yield made


@pytest.mark.parametrize("file_format", ["PPM", "TGA", "ICO", "PCX", "SGI"])
def test_a_rare_picture_comes_back_as_it_would_here(file_format: str, decoding: Decoding) -> None:
    """Bytes in, RGB out, upright, whatever the format."""
    data = encoded(file_format, (16, 16))

    found = decoding(data)
    assert not is_common(data)
    assert (found.mode, found.width, found.height) == ("RGB", 16, 16)
    with Image.open(io.BytesIO(data)) as expected:
        assert found.tobytes() == expected.convert("RGB").tobytes()


def test_what_reads_strangers_bytes_holds_no_secret() -> None:
    """The child gets its limits, and nothing that opens Redis or storage."""
    code = "raise d.ImageError('inference', ' '.join(sorted(n for n in os.environ if n.startswith('CAMQ_'))))"
    settings = Settings(redis_url="redis://:secret@127.0.0.1/0", s3_secret_key="secret", decode_s=19.0)
    with closing(Decoding(settings, 1, child_that(code))) as decoding, pytest.raises(ImageError) as said:
        decoding(encoded("PPM"))

    assert said.value.message == "CAMQ_DECODE_S"


@pytest.mark.parametrize("file_format", COMMON_FORMATS)
def test_a_common_picture_is_known_by_its_first_bytes(file_format: str) -> None:
    """It stays in the process, where decoding it costs no copy."""
    assert is_common(encoded(file_format))


def test_a_child_serves_many_pictures_and_names_what_is_none(decoding: Decoding) -> None:
    """A failure is this picture's, and the same child goes on."""
    decoding(encoded("PPM"))
    first = set(decoding._children)
    with pytest.raises(ImageError, match="not a picture") as failure:
        decoding(b"<html>")
    decoding(encoded("PPM"))

    assert failure.value.code == "not_an_image"
    assert decoding._children == first


def test_a_picture_that_kills_its_child_twice_is_poison_and_the_next_gets_a_new_child() -> None:
    """Once may be chance: the system may have chosen this process when memory ran out."""
    kill = child_that("if data[:4] == b'KILL': os.kill(os.getpid(), 9)")
    with closing(Decoding(Settings(), 1, kill)) as decoding:
        with pytest.raises(ImageError, match=r"2 times \(signal SIGKILL\)") as failure:
            decoding(b"KILL")
        assert decoding(encoded("PPM")).width == 7

    assert failure.value.code == "poison"


def test_one_death_of_the_child_may_be_chance(tmp_path: Path) -> None:
    """The picture gets a second child, and its answer."""
    note = str(tmp_path / "died")
    once = child_that(f"os.path.exists({note!r}) or (open({note!r}, 'w').close(), os.kill(os.getpid(), 9))")
    with closing(Decoding(Settings(), 1, once)) as decoding:
        assert decoding(encoded("PPM")).width == 7


def test_a_picture_that_takes_too_long_costs_its_child_only() -> None:
    """It fails `timeout`; no thread of the worker hangs."""
    slow = child_that("while data[:4] == b'SLOW': time.sleep(1)")
    with closing(Decoding(Settings(decode_s=0.5), 1, slow)) as decoding:
        with pytest.raises(ImageError, match="CAMQ_DECODE_S") as failure:
            decoding(b"SLOW")
        generous = Decoding(Settings(), 1, slow)
        with closing(generous):
            assert generous(encoded("PPM")).width == 7

    assert failure.value.code == "timeout"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce the limit")
def test_a_picture_that_eats_memory_is_stopped_by_the_childs_limit() -> None:
    """The worker's own memory is not touched."""
    greedy = child_that("bytearray(1 << 40) if data[:4] == b'EATS' else None")
    with closing(Decoding(Settings(), 1, greedy)) as decoding, pytest.raises(ImageError) as failure:
        decoding(b"EATS")

    assert failure.value.code == "poison"


def test_several_children_work_at_once() -> None:
    """Each thread has its own."""
    with closing(Decoding(Settings(), 2)) as decoding:
        import concurrent.futures

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = list(pool.map(partial(_width, decoding), [encoded("PPM")] * 8))

    assert found == [7] * 8


def _width(decoding: Decoding, data: bytes) -> int:
    return decoding(data).width
