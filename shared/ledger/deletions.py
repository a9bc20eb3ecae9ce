"""Deletions of objects, and what must not begin meanwhile."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import LockError

from shared import keys
from shared.errors import DeletionError, UnreachableError
from shared.ledger.scripts import LedgerSide, executed
from shared.ledger.values import BATCH

#: A deletion that was silent for this long is over: its process was killed, or was away.
SILENCE_S = 120
#: A deletion waits this long for another one of the same job.
WAIT_S = 30
#: `camq gc --now` keeps new jobs waiting for this long at most.
COLLECTING_S = 600
#: It stops this long before, so that its last request to storage has ended by then.
_MARGIN_S = 60


class RedisDeletions(LedgerSide):
    """Keeps a deletion and a job of the same id apart, and knows of which jobs something may be left."""

    @contextmanager
    def deleting(self, job: str, wait_s: float = WAIT_S) -> Iterator[Callable[[], None]]:
        """A job's objects are deleted while this lasts; no job of this id can begin meanwhile.

        The function is to be called every few seconds. DeletionError when another process deletes them for longer than
        `wait_s`, or does so already because this deletion was silent for too long.
        """
        lock = self.scripts.client.lock(keys.DELETING % job, timeout=SILENCE_S, sleep=0.2, thread_local=False)
        with self._holding(lock, wait_s):
            yield lambda: self._go_on(lock)

    @contextmanager
    def collecting(self) -> Iterator[Callable[[], bool]]:
        """Inputs of any age are deleted while this lasts, and no job can begin; it ends by itself after ten minutes.
        The function answers whether there is time left. DeletionError when another process does the same."""
        lock = self.scripts.client.lock(keys.COLLECTING, timeout=COLLECTING_S, sleep=0.2, thread_local=False)
        end = time.monotonic() + COLLECTING_S - _MARGIN_S
        with self._holding(lock, wait_s=0):
            yield lambda: time.monotonic() < end

    def held(self, job: str) -> bool:
        """Whether a worker may still write for the job: it was removed, and the worker has not heard yet.

        A worker asks for its lease every few seconds, and it ends when that worker hears.
        """
        return bool(self.scripts("held", job))

    def known_jobs(self, *, expired: bool = False) -> list[str]:
        """The ids of all jobs, oldest first; with `expired` also of those whose record is gone."""
        client = self.scripts.client
        with self.scripts.translated():
            names = list(client.zrange(keys.JOBS, 0, -1))
            if expired:
                return [*client.zrange(keys.GONE, 0, -1), *names]
            if not names:
                return []
            with client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.exists(keys.JOB % name)
                alive = pipe.execute()
        return [name for name, there in zip(names, alive, strict=True) if there]

    def unsealed(self) -> list[str]:
        """The jobs whose submission has not ended."""
        names = self.known_jobs(expired=True)
        with self.scripts.translated(), self.scripts.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hget(keys.JOB % name, "sealed")
            sealed = executed(pipe)
        return [name for name, value in zip(names, sealed, strict=True) if value == "0"]

    def forget(self, jobs: Iterable[str]) -> None:
        """Take jobs out of the index of which nothing is left anywhere; one that has a record again stays."""
        gone = list(jobs)
        for start in range(0, len(gone), BATCH):
            self.scripts("forget", *gone[start : start + BATCH])

    @contextmanager
    def _holding(self, lock: Any, wait_s: float) -> Iterator[None]:
        with self.scripts.translated():
            if not lock.acquire(blocking_timeout=wait_s):
                raise DeletionError("another `camq rm` or `camq gc` is at work; try again when it has ended")
        try:
            yield
        finally:
            with suppress(LockError, UnreachableError), self.scripts.translated():
                lock.release()  # else it runs out

    def _go_on(self, lock: Any) -> None:
        try:
            with self.scripts.translated():
                lock.extend(SILENCE_S, replace_ttl=True)
        except LockError as error:
            raise DeletionError(
                f"this deletion stalled for {SILENCE_S} s, so others went ahead; run it again"
            ) from error
