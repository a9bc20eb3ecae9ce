"""Steps and a store that the tests of submission share."""

from collections import Counter
from typing import Any

from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import Listener, submit
from shared.storage import MemoryStore
from shared.storage.port import Stat
from tests.support.jobs.scripted_worker import picture


class CountingStore(MemoryStore):
    """A memory store that remembers what was written, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.ensure_bucket()
        self.written: list[str] = []
        self.failures: list[Exception] = []

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        if self.failures:
            raise self.failures.pop()
        self.written.append(key)
        super().put(key, data, content_type)

    def inputs(self) -> list[str]:
        return [key for key in self.written if key.startswith("inputs/")]


def pictures(count: int) -> list[bytes]:
    return [picture(colour=(number % 256, number // 256, 0)) for number in range(count)]


def send(services: Services, images: object, listener: Listener | None = None, **request: Any) -> str:
    return submit(services, images, Request(**request), listener)


class Requests(MemoryStore):
    """A memory store that counts what would be requests to a server."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.made: Counter[str] = Counter()

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self.made["put"] += 1
        super().put(key, data, content_type)

    def get(self, key: str, max_bytes: int | None = None) -> bytes:
        self.made["get"] += 1
        return super().get(key, max_bytes)

    def stat(self, key: str) -> Stat | None:
        self.made["head"] += 1
        return super().stat(key)
