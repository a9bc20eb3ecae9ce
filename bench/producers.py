"""Several producers at once, in processes of their own: one interpreter cannot send as fast as a GPU's workers take."""

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from producer import Client
from shared.config import Settings

_client: Client | None = None


class Producers:
    """`count` processes, each with a warm `Client`."""

    def __init__(self, settings: Settings, count: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, spawn, initializer=_connect, initargs=(settings,))

    def submit(self, folders: Sequence[Path], options: Mapping[str, Any]) -> tuple[list[str], float]:
        """A job of each folder, submitted at the same time; the processor seconds that all of it took here."""
        done = list(self._pool.map(partial(_submit, options=dict(options)), folders))
        return [job for job, _ in done], sum(seconds for _, seconds in done)

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown()


def _connect(settings: Settings) -> None:
    global _client  # noqa: PLW0603 - what a process of the pool keeps from one job to the next
    _client = Client(settings)


def _submit(folder: Path, options: dict[str, Any]) -> tuple[str, float]:
    assert _client is not None
    before = time.process_time()
    job = _client.submit(folder, **options)
    return job.id, time.process_time() - before
