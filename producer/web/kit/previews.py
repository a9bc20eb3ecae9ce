"""Thumbnails from processes that can do nothing else; each picture once, however often it is asked for."""

from __future__ import annotations

import logging
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self

import msgspec

from shared.contract.preview import LARGEST, LIMIT_S, PreviewRequest
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


def workers_command() -> list[str] | None:
    """Starts the worker's half, for later pages and for what only workers read.

    None where it cannot run: without the package `worker`, or without NumPy, of the extra `worker` all that it needs.
    """
    command = [sys.executable, "-P", "-m", "worker.pictures.preview"]
    try:
        return command if all(map(find_spec, (command[-1], "numpy"))) else None
    except ModuleNotFoundError:  # the package that the module would be in
        return None


_WORKERS = workers_command()


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

    def __init__(
        self, processes: int = 1, command: Sequence[str] = _COMMAND, rest: Sequence[str] | None = _WORKERS
    ) -> None:
        #: What makes those of common files, and what is asked for the rest.
        self._commands = (command, rest)
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
        self,
        name: str,
        read: Callable[[], bytes | None],
        request: PreviewRequest,
        wanted: Callable[[], bool] = lambda: True,
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
                future = self._threads.submit(self._make, read, request, waiting)
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

    def _make(self, read: Callable[[], bytes | None], request: PreviewRequest, waiting: list[object]) -> bytes | None:
        data = read() if waiting else None
        if not data:
            return None
        common, rest = self._commands
        small = self._ask(common, data, request, waiting) if request.page == 1 else b""
        if small == b"" and rest and waiting:
            small = self._ask(rest, data, request, waiting)
        return small or None

    def _ask(self, command: Sequence[str], data: bytes, request: PreviewRequest, waiting: list[object]) -> bytes | None:
        """Empty for what it cannot show; None where it ended, or had to be ended."""
        children: dict[str, FramedChild] = self._own.__dict__.setdefault("children", {})
        child = children.get(command[-1])
        try:
            if child is None or child.poll() is not None:
                self._drop(child)
                child = children[command[-1]] = FramedChild(command, environment(os.environ), _START_S)
                self._children.add(child)
            limit = _Wanted(LIMIT_S, lambda: bool(waiting))
            _, small = child.ask(msgspec.json.encode(request), data, limit, LARGEST)
        except (EOFError, LateError):
            children.pop(command[-1], None)
            self._drop(child)
            if waiting:
                log.warning("a picture has no preview: it took too long, or ended the process that makes it")
            return None
        return bytes(small)

    def _drop(self, child: FramedChild | None) -> None:
        if child:
            self._children.discard(child)
            child.end()
