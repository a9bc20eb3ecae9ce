"""Waits for jobs to move: one connection to Redis, however many clients wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from shared.errors import UnreachableError

if TYPE_CHECKING:
    from shared.contract import JobStatus
    from shared.ledger import RedisLedger

#: A status is also read this often without news: news are a convenience, not a promise.
LOOK_EVERY_S = 2.0
#: Between two readings for one client; it doubles from the first to the second. A lone picture is done after two or
#: three moves, and its client waits for it; a large job moves a hundred times in a second.
_FIRST_REST_S, _REST_S = 0.002, 0.05
#: Between two tries to reach a Redis that is away.
_PAUSE_S = 1.0


class News:
    """Wakes those who wait for a job. Its thread begins with the first of them and ends soon after the last."""

    def __init__(self, ledger: RedisLedger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._waiting: dict[str, set[_Bell]] = {}
        self._thread: Thread | None = None
        self._closed = False

    async def statuses(self, job: str) -> AsyncGenerator[JobStatus, None]:
        """The job's status now and whenever it moved; the last one is final.

        UnknownJobError and UnreachableError are raised at the start only; later a lost Redis is waited out, and a job
        that was removed ends it.
        """
        bell = _Bell(asyncio.get_running_loop())
        self._add(job, bell)
        try:
            status, rest = await run_in_threadpool(self._ledger.status, job), _FIRST_REST_S
            while True:
                yield status
                if status.state.finished:
                    return
                await asyncio.sleep(rest)
                rest = min(2 * rest, _REST_S)
                await bell.wait(LOOK_EVERY_S)
                with suppress(UnreachableError):
                    status = await run_in_threadpool(self._ledger.status, job)
        finally:
            self._drop(job, bell)

    def close(self) -> None:
        """End the thread: nobody waits any more."""
        self._closed = True
        if (thread := self._thread) is not None:
            thread.join()

    def _add(self, job: str, bell: _Bell) -> None:
        with self._lock:
            self._waiting.setdefault(job, set()).add(bell)
            if self._thread is None:
                self._thread = Thread(target=self._listen, name="camq-news", daemon=True)
                self._thread.start()

    def _drop(self, job: str, bell: _Bell) -> None:
        with self._lock:
            bells = self._waiting[job]
            bells.discard(bell)
            if not bells:
                del self._waiting[job]

    def _listen(self) -> None:
        while not self._is_over():
            try:
                for job in self._ledger.all_news():
                    if self._is_over():
                        return
                    self._ring(job)
            except UnreachableError:
                time.sleep(_PAUSE_S)

    def _is_over(self) -> bool:
        with self._lock:
            if self._waiting and not self._closed:
                return False
            self._thread = None  # who comes now begins another
            return True

    def _ring(self, job: str | None) -> None:
        with self._lock:
            bells = list(self._waiting.get(job or "", ()))
        for bell in bells:
            bell.ring()


class _Bell:
    """An event that another thread may set."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._event = loop, asyncio.Event()

    def ring(self) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, most_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), most_s)
        self._event.clear()
