"""The producer of the plain worker: uploads and sends as it goes, then waits for every result."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count
from typing import Any, Self

from celery import Celery

from bench import fleet
from bench.context import Bench
from shared.storage import S3Store

_UPLOADS = 8


class Plain:
    """A side of a comparison, and the plain worker while the block lasts."""

    def __init__(self, bench: Bench, images: int) -> None:
        self.images = images
        self.processes = len(fleet.cores())
        self._bench = bench
        self._resources = ExitStack()
        self._numbers = count()

    def __enter__(self) -> Self:
        bench, settings = self._bench, self._bench.settings
        with ExitStack() as undo:
            log = bench.folder / "plain.log"
            arguments = ("-A", "bench.plain", "worker", "--pool", "prefork", "--concurrency", str(self.processes))
            undo.enter_context(fleet.process("celery", settings, log, *arguments, "--without-gossip", "-l", "warning"))
            self._store = undo.enter_context(closing(S3Store.from_settings(settings)))
            self._app = undo.enter_context(closing(_App(settings.redis_url)))
            self._threads = undo.enter_context(ThreadPoolExecutor(_UPLOADS))
            self._resources = undo.pop_all()
        self._run(8 * self.processes)  # every child has loaded its network
        return self

    def __exit__(self, *error: object) -> None:
        self._resources.close()

    def __call__(self) -> float:
        """Pictures per second, from the first upload to the last result."""
        return self._run(self.images)

    def _run(self, images: int) -> float:
        pictures = self._bench.pictures(images)
        started = time.perf_counter()
        for result in list(self._threads.map(self._send, pictures)):
            result.get(timeout=300)
        return images / (time.perf_counter() - started)

    def _send(self, picture: bytes) -> Any:
        key = f"plain/{next(self._numbers)}.jpg"
        self._store.put(key, picture)
        return self._app.send(key, self._store.bucket)


class _App:
    def __init__(self, url: str) -> None:
        self._app = Celery("plain", broker=url, backend=url)

    def send(self, key: str, bucket: str) -> Any:
        return self._app.send_task("bench.plain.explain", args=[key, bucket], queue="plain")

    def close(self) -> None:
        self._app.close()
