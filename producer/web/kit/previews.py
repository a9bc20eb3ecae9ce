"""Thumbnails from processes that can do nothing else; each picture once, however often it is asked for."""

from __future__ import annotations

import logging
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from producer.web.kit.thumbnails import LARGEST, LIMIT_S
from shared.processes.confined import environment
from shared.processes.deadline import Deadline
from shared.processes.piped import FramedChild, LateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

_COMMAND = [sys.executable, "-P", "-m", "producer.web.kit.preview_process"]
_START_S = 60.0
#: How often a wait asks whether it is still wanted.
_LOOK_S = 0.2


class AbandonedError(Exception):
    """Nobody wants this thumbnail any more."""


class _Wanted(Deadline):
    """Passes also when nobody waits any more."""

    def __init__(self, limit_s: float, wanted: Callable[[], bool]) -> None:
        super().__init__(limit_s)
        self._wanted = wanted

    def piece(self) -> float:
        return min(_LOOK_S, super().piece())

    def passed(self) -> bool:
        return not self._wanted() or super().passed()


class Previews:
    """Safe to call from many threads. Close it at the end."""

    def __init__(self, processes: int = 1, command: Sequence[str] = _COMMAND) -> None:
        self._command = command
        # Each process has a thread for its whole life: on Linux a bound child ends with the thread that started it.
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="previews")
        self._own = threading.local()
        self._children: set[FramedChild] = set()
        self._lock = threading.Lock()
        #: What is being made, and how many wait for it.
        self._making: dict[str, tuple[Future[bytes | None], list[object]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def make(
        self, name: str, read: Callable[[], bytes | None], side: int, wanted: Callable[[], bool] = lambda: True
    ) -> bytes | None:
        """The thumbnail of the bytes that `read` gives, None where there is none: no picture, too large, too slow.

        While one is made, others who ask for the same `name` wait for it. AbandonedError when it is not `wanted`.
        """
        me = object()
        with self._lock:
            if name in self._making:
                future, waiting = self._making[name]
                waiting.append(me)
            else:
                waiting = [me]
                future = self._threads.submit(self._make, read, side, waiting)
                self._making[name] = future, waiting
        try:
            while True:
                try:
                    return future.result(_LOOK_S)
                except TimeoutError:
                    if not wanted():
                        raise AbandonedError from None
        finally:
            with self._lock:
                waiting.remove(me)
                if self._making.get(name, (None,))[0] is future and (future.done() or not waiting):
                    del self._making[name]

    def close(self) -> None:
        """Ends the processes."""
        self._threads.shutdown(cancel_futures=True)
        for child in list(self._children):
            self._drop(child)

    def _make(self, read: Callable[[], bytes | None], side: int, waiting: list[object]) -> bytes | None:
        data = read() if waiting else None
        if not data:
            return None
        child: FramedChild | None = getattr(self._own, "child", None)
        try:
            if child is None or child.poll() is not None:
                self._drop(child)
                child = self._own.child = FramedChild(self._command, environment(os.environ), _START_S)
                self._children.add(child)
            _, small = child.ask(str(side).encode(), data, _Wanted(LIMIT_S, lambda: bool(waiting)), LARGEST)
        except (EOFError, LateError):
            self._own.child = None
            self._drop(child)
            if waiting:
                log.warning("a picture has no preview: it took too long, or ended the process that makes it")
            return None
        return bytes(small) or None

    def _drop(self, child: FramedChild | None) -> None:
        if child:
            self._children.discard(child)
            child.end()
