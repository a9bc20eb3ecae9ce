"""A producer's connections, made when they are first used."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from producer.services import Services
from shared import broker
from shared.config import Settings


class Sender:
    """Counts what is open; two are made at once."""

    opened: ClassVar[list["Sender"]] = []
    meet = threading.Barrier(2, timeout=10)

    def __init__(self, settings: Settings) -> None:
        self.meet.wait()
        self.opened.append(self)

    def close(self) -> None:
        self.opened.remove(self)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sender]]:
    monkeypatch.setattr(broker, "Sender", Sender)
    yield Sender.opened
    assert Sender.opened == []


def test_threads_that_come_at_once_share_one_connection(opened: list[Sender]) -> None:
    """Whichever is not kept is closed, and nothing is left open at the end."""
    with Services(Settings()) as services, ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(lambda: services.sender) for _ in range(2))
        assert first.result() is second.result() is services.sender
        assert opened == [services.sender]
