"""camq on this machine: embedded servers and workers as child processes for the length of a `with` block."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from producer.local.embedded import Spec, Stack, Supervisor
from producer.services import Services
from shared.config import PREFIX, Settings
from shared.errors import CamqError, EmbeddedError, ModelError, UnreachableError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from shared.contract import WorkerInfo

#: A worker that exits with one of these before it is ready would exit so again.
_PERMANENT: dict[int, type[UsageError | ModelError]] = {2: UsageError, 5: ModelError}
#: A worker that exits this often before it is ready is not restarted.
_MOST_EXITS_AT_START = 3
#: A worker finishes or hands back its chunks after SIGTERM; one that does not is killed after this time.
_WORKER_STOP_S = 20.0
_LOOK_EVERY_S = 0.1
#: After each such time at the start, the user learns what a worker does: it may be a download that hangs.
SLOW_START_S = 30.0


@dataclass(frozen=True, slots=True)
class _ChildExit:
    name: str
    pid: int
    code: int

    @property
    def description(self) -> str:
        """Such as `was killed by signal 9`."""
        return f"was killed by signal {-self.code}" if self.code < 0 else f"ended with status {self.code}"


class Local:
    """Servers that start and stop with the block, and workers that `start_workers` starts."""

    def __init__(self, data_dir: Path, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._resources = ExitStack()
        self._exits: SimpleQueue[_ChildExit] = SimpleQueue()
        self.stack = Stack(data_dir, on_exit=self._server_died)
        self._supervisor = Supervisor(lambda name, pid, code: self._exits.put(_ChildExit(name, pid, code)))
        self._started: list[str] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self.stack)
            undo.callback(self._close_services)
            undo.enter_context(self._supervisor)  # stopped before the servers, so that workers can sign off
            self._resources = undo.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.__exit__(*error)

    @cached_property
    def settings(self) -> Settings:
        """The user's settings with the addresses of these servers."""
        return Settings.load(**self.stack.settings_overrides())

    @cached_property
    def services(self) -> Services:
        """Connections to these servers."""
        return Services(self.settings)

    def start_workers(self, count: int, overrides: Mapping[str, str | None]) -> None:
        """Start `count` workers; `overrides` are settings such as `model`."""
        settings = Settings.load(**{**self.stack.settings_overrides(), **overrides})
        for number in range(1, count + 1):
            name = f"worker-{number}"
            self._log(name).unlink(missing_ok=True)
            self._supervisor.start(
                Spec(
                    name=name,
                    argv=worker_command(),
                    env=worker_environment(settings),
                    log=self._log(name),
                    stop_s=_WORKER_STOP_S,
                )
            )
            self._started.append(name)

    def wait_ready(self) -> list[WorkerInfo]:
        """Wait until all workers are ready. ModelError or UsageError with the reason when one cannot start.

        A worker may download weights for minutes, so there is no limit, but every `SLOW_START_S` a notice with the last
        line of its log.
        """
        began = noted = time.monotonic()
        while True:
            self._handle_exit(ready=False)
            pids = set(self._supervisor.pids().values())
            ready = [w for w in self.services.ledger.workers() if w.pid in pids and w.state in ("ready", "busy")]
            if len(ready) == len(self._started):
                return ready
            if (now := time.monotonic()) - noted > SLOW_START_S:
                noted = now
                there = {worker.pid for worker in ready}
                for name in (name for name, pid in self._supervisor.pids().items() if pid not in there):
                    waited = f"{name} is still starting after {now - began:.0f} s, as on a busy machine"
                    self._notice(f"{waited}: {self._last_log_line(name)}")

    def supervise(self) -> None:
        """Report exits and update `camq workers` while the supervisor restarts processes; ends by an exception."""
        while True:
            self._handle_exit(ready=True)

    def _handle_exit(self, *, ready: bool) -> None:
        """Handle the next exit of a worker, if one comes soon."""
        try:
            exited = self._exits.get(timeout=_LOOK_EVERY_S)
        except Empty:
            return
        if not ready:
            self._raise_if_permanent(exited)
        self._notice(f"{exited.name} (pid {exited.pid}) {exited.description}; restarting it")
        with suppress(UnreachableError):  # then it leaves the list when its heartbeat expires
            for worker in self.services.ledger.workers():
                if worker.pid == exited.pid:
                    self.services.ledger.leave(worker)

    def _raise_if_permanent(self, exited: _ChildExit) -> None:
        if exited.code in _PERMANENT:
            raise _PERMANENT[exited.code](self._last_log_line(exited.name))
        if self._supervisor.exits(exited.name) >= _MOST_EXITS_AT_START:
            raise EmbeddedError(f"{exited.name} {exited.description} several times: {self._last_log_line(exited.name)}")

    def _last_log_line(self, name: str) -> str:
        """The last line of a worker's log, which gives the reason of its exit."""
        lines = [line for line in self._log(name).read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].removeprefix("camq worker: ") if lines else f"its log is empty: {self._log(name)}"

    def _server_died(self, name: str, pid: int, code: int) -> None:
        self._notice(f"the {name} server (pid {pid}) {_ChildExit(name, pid, code).description}; restarting it")

    def _log(self, name: str) -> Path:
        return self.stack.logs / f"{name}.log"

    def _close_services(self) -> None:
        if "services" in self.__dict__:
            self.services.close()


def check_packages() -> None:
    """CamqError where this environment has no packages for a worker, before anything starts."""
    if missing := [name for name in ("torch", "pynvml") if find_spec(name) is None]:
        raise CamqError(f"a worker needs packages that are not installed ({missing[0]}): pip install 'camq[worker]'")


def worker_command(*arguments: str) -> list[str]:
    """The worker as a command. `-P`: a `worker.py` in the user's folder must not shadow ours."""
    return [sys.executable, "-P", "-m", "worker", *arguments]


def worker_environment(settings: Settings) -> dict[str, str]:
    """This process's environment with exactly these settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return own | settings.environment()


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block as Ctrl-C does, so that children are stopped in order.

    SIGINT is handled as well: a shell starts background processes with SIGINT ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
