"""One child process: started in a session of its own, logged to a file, never outliving us."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.errors import EmbeddedError
from shared.processes import die_with_parent


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What to run. The same spec starts the same process again, so it names ports and folders for good."""

    name: str
    argv: Sequence[str]
    #: The child's whole environment; secrets go here or into files, never into `argv`, which `ps` shows.
    env: Mapping[str, str]
    #: Where its output goes; None is our own stdout and stderr.
    log: Path | None
    cwd: Path | None = None
    pid_file: Path | None = None
    #: How long a SIGTERM may take before SIGKILL follows.
    stop_s: float = 10.0


class Child:
    """A running child. Create it in a thread that lives as long as the child should (see `die_with_parent`).

    Its own session keeps a terminal's Ctrl-C from it: we stop our children, in our order. macOS has no
    death signal; there a `kill -9` of the parent leaves its children running, and the pid file names them.
    """

    def __init__(self, spec: Spec) -> None:
        program = shutil.which(spec.argv[0])
        if program is None:
            raise EmbeddedError(f"{spec.name}: there is no program {spec.argv[0]!r}")
        with _output(spec.log) as log:
            self._process = subprocess.Popen(
                bound_command([program, *spec.argv[1:]]),
                env=dict(spec.env),
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=None if log is None else subprocess.STDOUT,
                start_new_session=True,
            )
        self._spec = spec
        if spec.pid_file:
            spec.pid_file.write_text(f"{self.pid}\n")

    @property
    def pid(self) -> int:
        """The process that does the work, and the id of its group."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code (negative for a signal), or None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._sweep()
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def join(self, timeout_s: float) -> int:
        """Wait for the end, and bring it about when it takes longer than `timeout_s`. The exit code."""
        try:
            code = self._process.wait(max(timeout_s, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._sweep()
        return code

    def _sweep(self) -> None:
        """End what the child itself may have left behind in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._spec.pid_file:
            self._spec.pid_file.unlink(missing_ok=True)


def bound_command(argv: Sequence[str]) -> list[str]:
    """The command (its program as a path), so that it ends together with the thread that starts it (on Linux)."""
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *argv]


def describe_exit(code: int) -> str:
    """A return code in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _output(log: Path | None) -> AbstractContextManager[IO[bytes] | None]:
    if log is None:
        return nullcontext()
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
