"""A child process that takes requests on its stdin and answers on its stdout; it never outlives us."""

import fcntl
import os
import queue
import select
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, cast

from shared.processes.child import bound_command
from shared.processes.confined import HEADER, Data
from shared.processes.deadline import Deadline

#: Linux lets anybody make a pipe this long; a picture then passes in one go.
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
#: Heads hold options and numbers.
_MOST_HEAD_BYTES = 1 << 22


class PipedChild:
    """A running child. Create it in a thread that lives as long as the child should (see `die_with_parent`)."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], bufsize: int = -1) -> None:
        self._process = subprocess.Popen(
            bound_command(argv),
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=bufsize,
        )
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)

    @property
    def pid(self) -> int:
        """The process that does the work."""
        return self._process.pid

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
        self._answers.close()


class LineChild(PipedChild):
    """A child that is spoken to by lines, and whose lines are waited for with a limit."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        super().__init__(argv, env)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="child-reader", daemon=True).start()

    def send(self, request: bytes) -> None:
        """One request. That the child is gone shows in its answers, not here."""
        with suppress(BrokenPipeError):
            self._requests.write(request)
            self._requests.flush()

    def receive(self, timeout_s: float) -> bytes | None:
        """A line, b"" at the child's end, None when there is nothing yet."""
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _read(self) -> None:
        with self._answers:
            for line in self._answers:
                self._lines.put(line)
        self._lines.put(b"")

    def _close_answers(self) -> None:
        """The reader does, at the end of the answers."""


class LateError(Exception):
    """The child did not answer in time. What it would answer later belongs to nobody: end it."""


class FramedChild(PipedChild):
    """A child that is spoken to by frames (see `confined`): one request, one answer, each within a limit.

    EOFError when it ended, or answers what no child of ours would.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], start_s: float) -> None:
        super().__init__(argv, env, bufsize=0)
        self._polls = []
        for pipe, event in ((self._requests, select.POLLOUT), (self._answers, select.POLLIN)):
            os.set_blocking(pipe.fileno(), False)
            with suppress(OSError):  # no Linux, or many pipes: they are shorter then
                fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)
            self._polls.append(select.poll())
            self._polls[-1].register(pipe.fileno(), event)
        try:
            self._receive(Deadline(start_s), 0)
        except (EOFError, LateError):
            self.end()
            raise

    def ask(self, head: bytes, body: Data, deadline: Deadline, most: int) -> tuple[bytearray, bytearray]:
        """The answer's head, and its body of at most `most` bytes; LateError when the deadline has passed."""
        view = memoryview(body).cast("B")
        self._write(memoryview(HEADER.pack(len(head), len(view)) + head), deadline)
        self._write(view, deadline)
        return self._receive(deadline, most)

    def _receive(self, deadline: Deadline, most: int) -> tuple[bytearray, bytearray]:
        head, body = HEADER.unpack(self._read(HEADER.size, deadline))
        if head > _MOST_HEAD_BYTES or body > most:
            raise EOFError
        return self._read(head, deadline), self._read(body, deadline)

    def _read(self, size: int, deadline: Deadline) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                count = os.readv(self._answers.fileno(), [view])
            except BlockingIOError:
                self._wait(self._polls[1], deadline)
                continue
            if count == 0:
                raise EOFError
            view = view[count:]
        return data

    def _write(self, view: memoryview, deadline: Deadline) -> None:
        while view:
            try:
                view = view[os.write(self._requests.fileno(), view) :]
            except BlockingIOError:
                self._wait(self._polls[0], deadline)
            except BrokenPipeError:
                raise EOFError from None

    @staticmethod
    def _wait(ready: select.poll, deadline: Deadline) -> None:
        while not ready.poll(deadline.piece() * 1000):
            if deadline.passed():
                raise LateError
