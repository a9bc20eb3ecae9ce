"""Several producers at once, in processes of their own: one interpreter cannot send as fast as a GPU's workers take."""

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

from producer import Client
from shared.config import Settings

_client: Client | None = None
_all: Barrier | None = None
#: For the slowest of them to start Python and to import.
_START_S = 60.0


class Producers:
    """`count` processes, each with a warm `Client`."""

    def __init__(self, settings: Settings, count: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        initial = (settings, spawn.Barrier(count, timeout=_START_S))
        self._pool = ProcessPoolExecutor(count, spawn, initializer=_connect, initargs=initial)

    def submit(self, folders: Sequence[Path], options: Mapping[str, Any]) -> tuple[list[str], float]:
        """A job of each folder, one folder per process, at the same time; the processor seconds that all of it took.

        BrokenBarrierError when there are fewer folders than processes, or one of these does not come.
        """
        done = list(self._pool.map(partial(_submit, options=dict(options)), folders))
        return [job for job, _ in done], sum(seconds for _, seconds in done)

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown()


def _connect(settings: Settings, everybody: Barrier) -> None:
    global _client, _all  # what a process of the pool keeps from one job to the next
    _client, _all = Client(settings), everybody


def _submit(folder: Path, options: dict[str, Any]) -> tuple[str, float]:
    assert _client is not None
    assert _all is not None
    # Nobody begins before each process has a folder: none takes two of them, so all are warm after their first.
    _all.wait()
    before = time.process_time()
    job = _client.submit(folder, **options)
    return job.id, time.process_time() - before
