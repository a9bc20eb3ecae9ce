"""Deletions of objects, so that nothing which refers to them comes into the ledger meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import LockError

from shared import keys
from shared.errors import DeletionError, UnreachableError
from shared.ledger.scripts import Scripts

#: A deletion that was silent for this long is over: its process was killed, or was away.
SILENCE_S = 120
#: Who finds another deletion under way waits for its end this long, unless told otherwise.
WAIT_S = 30


class RedisDeletions:
    """The part of `Jobs` that deletes; see there."""

    scripts: Scripts

    def deletions(self) -> int:
        """See `Jobs.deletions`."""
        with self.scripts.translated(), self.scripts.client.pipeline() as pipe:
            pipe.exists(keys.DELETING % keys.INPUTS)
            pipe.get(keys.DELETIONS)
            under_way, count = pipe.execute()
        return -1 if under_way else int(count or 0)

    @contextmanager
    def deleting(self, scope: str, wait_s: float = WAIT_S) -> Iterator[Callable[[], None]]:
        """See `Jobs.deleting`."""
        client = self.scripts.client
        lock = client.lock(keys.DELETING % scope, timeout=SILENCE_S, sleep=0.2, thread_local=False)
        with self.scripts.translated():
            if not lock.acquire(blocking_timeout=wait_s):
                raise DeletionError("another `camq rm` or `camq gc` deletes there; try again when it has ended")
        try:
            if scope == keys.INPUTS:
                self._count()
            yield lambda: self._go_on(lock)
        finally:
            with suppress(LockError, UnreachableError), self.scripts.translated():
                lock.release()  # else it runs out

    def held(self, job: str) -> bool:
        """See `Jobs.held`. A worker asks for its lease every few seconds, and it ends when that worker hears."""
        return bool(self.scripts("held", job))

    def revisions(self, jobs: Sequence[str]) -> list[str]:
        """See `Jobs.revisions`. Records only ever join a job; those that join a sealed one share references."""
        with self.scripts.translated(), self.scripts.client.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hmget(keys.JOB % job, "created_at", "sealed")
                pipe.hlen(keys.CHUNKS % job)
            found = pipe.execute()
        return [
            f"{born} {'sealed' if sealed == '1' else size}" if born else ""
            for (born, sealed), size in zip(found[::2], found[1::2], strict=True)
        ]

    def _count(self) -> None:
        with self.scripts.translated(), self.scripts.client.pipeline() as pipe:
            pipe.incr(keys.DELETIONS)
            pipe.expire(keys.DELETIONS, keys.UNFINISHED_TTL_S)
            pipe.execute()

    def _go_on(self, lock: Any) -> None:
        try:
            with self.scripts.translated():
                lock.extend(SILENCE_S, replace_ttl=True)
        except LockError as error:
            raise DeletionError(f"this deletion was silent for {SILENCE_S} s, and others went on; repeat it") from error
