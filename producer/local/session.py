"""camq on this machine alone: embedded servers and workers as child processes, while a `with` block lasts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from producer.local.embedded import Spec, Stack, Supervisor
from producer.services import Services
from shared.config import PREFIX, Settings
from shared.errors import EmbeddedError, ModelError, UnreachableError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from shared.contract import WorkerInfo

#: A worker that ends with one of these before it was ready would end so again.
_HOPELESS: dict[int, type[UsageError | ModelError]] = {2: UsageError, 5: ModelError}
#: A worker that dies so often before it was ready is not started for ever.
_MOST_DEATHS_AT_START = 3
#: A worker finishes or hands back its chunks after SIGTERM; one that does not is killed after this time.
_WORKER_STOP_S = 20.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class _Death:
    name: str
    pid: int
    code: int

    @property
    def manner(self) -> str:
        """How it ended, in words."""
        return f"was killed by signal {-self.code}" if self.code < 0 else f"ended with status {self.code}"


class Local:
    """The servers start with the block, the workers when they are asked for; all end with the block."""

    def __init__(self, data_dir: Path, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._resources = ExitStack()
        self._deaths: SimpleQueue[_Death] = SimpleQueue()
        self.stack = Stack(data_dir, on_exit=self._server_died)
        self._supervisor = Supervisor(lambda name, pid, code: self._deaths.put(_Death(name, pid, code)))
        self._started: list[str] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self.stack)
            undo.callback(self._close_services)
            undo.enter_context(self._supervisor)  # inside the servers, so that workers can say goodbye
            self._resources = undo.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.__exit__(*error)

    @cached_property
    def settings(self) -> Settings:
        """The user's own settings, but with these servers."""
        return Settings.load(**self.stack.settings_overrides())

    @cached_property
    def services(self) -> Services:
        """A producer's way to these servers."""
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
        """The workers, as soon as all are ready. ModelError or UsageError when they never will be, and why."""
        while True:
            self._mourn(ready=False)
            pids = set(self._supervisor.pids().values())
            ready = [w for w in self.services.ledger.workers() if w.pid in pids and w.state in ("ready", "busy")]
            if len(ready) == len(self._started):
                return ready

    def tend(self) -> None:
        """Keep `camq workers` true while the supervisor restarts what dies; ends by an exception only."""
        while True:
            self._mourn(ready=True)

    def _mourn(self, *, ready: bool) -> None:
        """See to the next death, if there is one soon."""
        try:
            death = self._deaths.get(timeout=_LOOK_EVERY_S)
        except Empty:
            return
        if not ready:
            self._give_up_if_hopeless(death)
        self._notice(f"{death.name} (pid {death.pid}) {death.manner}; starting it again")
        with suppress(UnreachableError):  # then its heartbeat's end takes it from the list
            for worker in self.services.ledger.workers():
                if worker.pid == death.pid:
                    self.services.ledger.leave(worker)

    def _give_up_if_hopeless(self, death: _Death) -> None:
        if death.code in _HOPELESS:
            raise _HOPELESS[death.code](self._last_words(death.name))
        if self._supervisor.exits(death.name) >= _MOST_DEATHS_AT_START:
            raise EmbeddedError(f"{death.name} {death.manner} again and again: {self._last_words(death.name)}")

    def _last_words(self, name: str) -> str:
        """The last line of a worker's log, which is its reason."""
        lines = [line for line in self._log(name).read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].removeprefix("camq worker: ") if lines else f"it said nothing (log: {self._log(name)})"

    def _server_died(self, name: str, pid: int, code: int) -> None:
        self._notice(f"the {name} server (pid {pid}) {_Death(name, pid, code).manner}; starting it again")

    def _log(self, name: str) -> Path:
        return self.stack.logs / f"{name}.log"

    def _close_services(self) -> None:
        if "services" in self.__dict__:
            self.services.close()


def worker_command(*arguments: str) -> list[str]:
    """The worker as a command. `-P`: a `worker.py` in the user's folder must not stand in for ours."""
    return [sys.executable, "-P", "-m", "worker", *arguments]


def worker_environment(settings: Settings) -> dict[str, str]:
    """Our environment, with exactly these settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return own | settings.environment()


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block as Ctrl-C does, so that children are stopped in order.

    Ctrl-C itself is set as well: a shell starts what it puts into the background with SIGINT ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
