"""Keeps child processes running: one that dies is started again."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

from shared.processes.child import Child, Spec

log = logging.getLogger(__name__)

T = TypeVar("T")
#: A dead child is seen within this time.
_TICK_S = 0.1
#: The first restart comes at once, for a child that merely died; one that cannot live is not hammered.
_FIRST_DELAY_S = 0.2
_LAST_DELAY_S = 5.0
#: A child that lived this long died of something new, so its next restart comes soon again.
_HEALTHY_S = 10.0


@dataclass
class _Kept:
    spec: Spec
    child: Child | None
    started: float
    delay_s: float = _FIRST_DELAY_S
    due: float = 0.0
    exits: int = 0


class Supervisor:
    """Children by name, kept alive until `stop` or the end of the `with` block.

    One thread starts, watches and stops them all: it outlives every child (Linux ends a child with the
    thread that started it), and it alone touches the state, so there is no lock. At the end all children get
    their SIGTERM in reverse order of their start and leave together, each within its own `stop_s`; what must
    leave before its servers do belongs into a supervisor inside theirs.
    """

    def __init__(self, on_exit: Callable[[str, int, int], None] | None = None) -> None:
        """`on_exit(name, pid, code)` hears of every death nobody asked for, in the supervisor's thread."""
        self._on_exit = on_exit
        self._kept: dict[str, _Kept] = {}
        self._commands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="camq-supervisor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(lambda: self._stop(list(self._kept)))
        self._commands.put(None)
        self._thread.join()

    def start(self, spec: Spec) -> int:
        """Start a child and keep it running. Its pid. Raises EmbeddedError when there is no such program."""

        def work() -> int:
            if spec.name in self._kept:
                raise ValueError(f"{spec.name!r} is running already")
            child = Child(spec)
            self._kept[spec.name] = _Kept(spec, child, time.monotonic())
            return child.pid

        return self._call(work)

    def stop(self, name: str) -> None:
        """End one child for good. Others that die meanwhile wait for their restart."""
        self._call(lambda: self._stop([name]))

    def pids(self) -> dict[str, int]:
        """The children that run, by name, in order of their start."""
        return self._call(lambda: {name: kept.child.pid for name, kept in self._kept.items() if kept.child is not None})

    def exits(self, name: str) -> int:
        """How often the child has died so far."""
        return self._call(lambda: self._kept[name].exits)

    def _call(self, work: Callable[[], T]) -> T:
        if not self._thread.is_alive():
            raise RuntimeError("a Supervisor works inside its `with` block only")
        answer: Future[T] = Future()

        def command() -> None:
            try:
                answer.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                answer.set_exception(error)

        self._commands.put(command)
        return answer.result()

    def _run(self) -> None:
        while True:
            try:
                command = self._commands.get(timeout=_TICK_S)
                if command is None:
                    return
                command()
            except Empty:
                pass
            for kept in self._kept.values():
                self._watch(kept)

    def _watch(self, kept: _Kept) -> None:
        now = time.monotonic()
        if kept.child is not None and (code := kept.child.poll()) is not None:
            pid, kept.child = kept.child.pid, None
            kept.exits += 1
            if now - kept.started > _HEALTHY_S:
                kept.delay_s = _FIRST_DELAY_S
            kept.due = now + kept.delay_s
            kept.delay_s = min(kept.delay_s * 2, _LAST_DELAY_S)
            self._tell(kept.spec.name, pid, code)
        elif kept.child is None and now >= kept.due:
            try:
                kept.child = Child(kept.spec)
                kept.started = now
            except Exception:
                log.exception("cannot restart %s", kept.spec.name)
                kept.due = now + _LAST_DELAY_S

    def _tell(self, name: str, pid: int, code: int) -> None:
        if self._on_exit is not None:
            try:
                self._on_exit(name, pid, code)
            except Exception:
                log.exception("on_exit failed for %s", name)

    def _stop(self, names: list[str]) -> None:
        leaving = [self._kept.pop(name) for name in reversed(names)]
        for kept in leaving:
            if kept.child is not None:
                kept.child.terminate()
        began = time.monotonic()
        for kept in leaving:
            if kept.child is not None:
                kept.child.join(began + kept.spec.stop_s - time.monotonic())
