"""A child that is asked on its stdin and answers on its stdout."""

import os
import sys

from shared.processes.piped import LineChild
from tests.support.waiting import wait_until

ECHO = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_child_answers_line_by_line_and_its_end_is_an_empty_line() -> None:
    """Nothing yet is None, so that whoever waits can look at something else meanwhile."""
    child = LineChild(python(ECHO), os.environ)
    assert child.receive(0.01) is None
    child.send(b"one\n")
    assert child.receive(30) == b"ONE\n"
    child.stop()
    assert child.receive(30) == b""
    assert child.end() == -9


def test_requests_to_a_dead_child_fail_neither_when_sent_nor_at_its_end() -> None:
    """Its death shows in the answers; what is still in the buffer must not hide it."""
    child = LineChild(python("raise SystemExit(3)"), os.environ)
    wait_until(lambda: child.poll() is not None, "the child has ended")
    child.send(b"one\n")

    assert child.receive(30) == b""
    assert child.end() == 3
