"""The quarantine process: the same explainer as the worker's, one picture at a time, told and answered by lines."""

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
    """Answers requests until stdin ends."""
    lines = _Lines(sys.stdout.buffer)
    sys.stdout = sys.stderr  # a library that prints must not break the protocol
    with explaining(settings, stage=lines.stage, processes=1) as explainer:
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
