"""A child process that takes requests on its stdin and answers on its stdout; it never outlives us."""

import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, cast

from shared.processes.child import bound_command


class PipedChild:
    """A running child. Create it in a thread that lives as long as the child should (see `die_with_parent`)."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            bound_command(argv), env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._requests = cast(IO[bytes], self._process.stdin)
        #: What the child writes; at its end it has no more to read.
        self.answers = cast(IO[bytes], self._process.stdout)

    def send(self, request: bytes) -> None:
        """One request. That the child is gone shows in its answers, not here."""
        with suppress(BrokenPipeError):
            self._requests.write(request)
            self._requests.flush()

    def poll(self) -> int | None:
        """The exit code (negative for a signal), or None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Kill it, from any thread; `end` is still to be called."""
        self._process.kill()

    def end(self) -> int:
        """Kill it, unless it has ended already, and give back its pipes. The exit code."""
        self._process.kill()
        code = self._process.wait()
        with suppress(BrokenPipeError):  # requests still in the buffer have no reader any more
            self._requests.close()
        self._close_answers()
        return code

    def _close_answers(self) -> None:
        self.answers.close()


class LineChild(PipedChild):
    """A child that answers by lines, which are waited for with a limit."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        super().__init__(argv, env)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="child-reader", daemon=True).start()

    def receive(self, timeout_s: float) -> bytes | None:
        """A line, b"" at the child's end, None when there is nothing yet."""
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _read(self) -> None:
        with self.answers:
            for line in self.answers:
                self._lines.put(line)
        self._lines.put(b"")

    def _close_answers(self) -> None:
        """The reader does, at the end of the answers."""
