"""Thumbnails made in a process of their own: what it costs when one is asked for often, or goes wrong."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from producer.web.kit import previews as module
from producer.web.kit.previews import AbandonedError, Previews
from producer.web.kit.thumbnails import thumbnail
from tests import bombs
from tests.numeric.pictures import encoded, photo
from tests.waiting import wait_until

#: A declared test adapter of the process: the real one, which hangs on certain bytes, and dies of others.
PROGRAM = """
import runpy, signal, time
import producer.web.kit.thumbnails as t
real = t.thumbnail
def thumbnail(data, side):
    while data == b"HANG": time.sleep(1)
    data == b"KILL" and signal.raise_signal(11)
    return real(data, side)
t.thumbnail = thumbnail
runpy.run_module("producer.web.kit.preview_process", run_name="__main__")
"""
DATA = encoded(photo(90, 60), "JPEG")


@pytest.fixture
def previews() -> Iterator[Previews]:
    with Previews(command=[sys.executable, "-c", PROGRAM]) as made:
        yield made


def test_a_thumbnail_is_that_of_the_same_work_here() -> None:
    """By the process as the page starts it."""
    with Previews() as previews:
        assert previews.make("a", lambda: DATA, 50) == thumbnail(DATA, 50)
        assert previews.make("b", lambda: b"no picture", 50) is None
        assert previews.make("c", lambda: None, 50) is None


def test_what_hangs_or_dies_has_no_thumbnail_and_the_next_one_has(
    previews: Previews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the price of a process."""
    assert previews.make("a", lambda: DATA, 50)
    monkeypatch.setattr(module, "LIMIT_S", 0.3)
    for data in (b"HANG", b"KILL"):
        assert previews.make(repr(data), lambda data=data: data, 50) is None
    monkeypatch.setattr(module, "LIMIT_S", 30.0)
    assert previews.make("b", lambda: DATA, 50)


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
        asked = [threads.submit(previews.make, "a", read, 50, wanted) for _ in range(8)]
        wait_until(lambda: len(threads_that_wait) == 8, "all ask", 60)
        gate.set()
        found = {answer.result() for answer in asked}

    assert (len(reads), found) == (1, {thumbnail(DATA, 50)})
    assert previews.make("a", read, 50) in found
    assert len(reads) == 2


def test_one_that_nobody_wants_any_more_is_stopped(previews: Previews) -> None:
    """As when a browser closes its connections; whoever comes next does not wait for it."""
    assert previews.make("a", lambda: DATA, 50)
    with ThreadPoolExecutor(2) as threads:
        closed = threading.Event()
        threads_that_wait, wanted = asking()
        given = ("b", lambda: b"HANG", 50, lambda: wanted() and not closed.is_set())
        asked = [threads.submit(previews.make, *given) for _ in range(2)]
        wait_until(lambda: len(threads_that_wait) == 2, "both ask", 60)
        closed.set()
        for answer in asked:
            with pytest.raises(AbandonedError):
                answer.result()

    assert previews.make("c", lambda: DATA, 50)


def test_a_bomb_has_no_thumbnail_and_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progressive JPEG of 80 KB with hundreds of scans, which Pillow would decode for many seconds."""
    monkeypatch.setattr(module, "LIMIT_S", 0.5)
    bomb = bombs.jpeg(5120, 5120, 500)
    assert len(bomb) < 200_000
    with Previews() as previews:
        assert previews.make("small", lambda: encoded(Image.new("RGB", (9, 9)), "PNG"), 50)
        assert previews.make("bomb", lambda: bomb, 50) is None
