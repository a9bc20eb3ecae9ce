"""The quarantine process: the same explainer as the worker's, one picture at a time, told and answered by lines."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import msgspec

from shared.config import Settings
from shared.errors import DeniedError, UnreachableError
from worker.chunk.quarantine import Answer, RaisedError, Request
from worker.image.build import explaining
from worker.timing.measurements import StageName


def serve(settings: Settings) -> int:
    """Answers requests until stdin ends, or until a thread hangs: then the parent starts another process."""
    lines = _Lines(sys.stdout.buffer)
    sys.stdout = sys.stderr  # a library that prints must not break the protocol
    stuck = threading.Event()
    with explaining(settings, stage=lines.stage, on_stuck=stuck.set) as explainer:
        for line in sys.stdin.buffer:
            request = msgspec.json.decode(line, type=Request)
            try:
                record = explainer.record(request.ref, request.claim(), _go_on)
            except (UnreachableError, DeniedError) as reason:
                lines.put(Answer(unreachable=str(reason)))
            except Exception as error:  # noqa: BLE001 - the parent says what becomes of the picture
                lines.put(Answer(raised=str(RaisedError.of(error))))
            else:
                lines.put(Answer(record=record))
            if stuck.is_set():
                os._exit(0)  # the interpreter would wait for the hanging thread
    return 0


def _go_on() -> None:
    """The parent watches the lease, and ends this process when it is lost."""


class _Lines:
    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def put(self, answer: Answer) -> None:
        with self._lock:
            self._out.write(msgspec.json.encode(answer) + b"\n")
            self._out.flush()

    @contextmanager
    def stage(self, stage: StageName) -> Iterator[None]:
        """Says which stage begins, so that the parent knows where a death happened."""
        self.put(Answer(stage=stage))
        yield
