"""Runs a suspect picture in a process that holds nothing else, and watches what becomes of that process.

The parent keeps the chunk's lease and commits; the child (`python -m worker quarantine`) loads the model
itself, reads one request per line on its stdin, and answers on its stdout with the stages it enters and the
record. A picture is poison only when the child died twice in the picture's own forward.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import msgspec
import structlog

from shared.config import Settings
from shared.contract import ChunkMessage, ErrorInfo, ImageRecord, ImageRef, ImageState, Options, Priority, prepare
from shared.errors import UnreachableError
from shared.ledger import Claim
from shared.processes.child import describe_exit
from shared.processes.deadline import Deadline
from shared.processes.piped import LineChild
from worker.chunk.leases import Lease
from worker.errors import DEATHS_TO_POISON, CancelledJobError
from worker.timing.measurements import StageName

log = structlog.get_logger()

#: Stages whose death is the picture's own doing; what decodes and draws is a process beside it.
SUSPECT_STAGES: frozenset[StageName] = frozenset({"wait", "forward"})
#: Deaths elsewhere (while loading the model, say) before the chunk is handed back: not this picture's fault.
OTHER_DEATHS = 3


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One picture for the child."""

    ref: ImageRef
    message: ChunkMessage
    options: Options
    model: str
    priority: Priority

    def claim(self) -> Claim:
        """The claim that the parent holds."""
        return Claim(self.message, self.options, self.model, self.priority, self.message.chunk)


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from the child: a stage it enters, the record it made, or why there is none."""

    stage: StageName | None = None
    record: ImageRecord | None = None
    unreachable: str | None = None
    #: What the picture's work raised and nobody foresaw.
    raised: str | None = None


prepare(Answer)


class QuarantineError(UnreachableError):
    """The picture's own process ended again and again, but in no stage of the picture's own."""


class RaisedError(Exception):
    """A chunk's work raised what nobody foresaw: a fault of camq's own, perhaps with one picture only."""

    @classmethod
    def of(cls, error: Exception) -> "RaisedError":
        """One with the type and the text of `error`."""
        return cls(f"{type(error).__name__}: {error}")


class Quarantine:
    """One child at a time, kept for the next suspect. All of it happens in one thread of its own, because
    Linux ends a bound child together with the thread that started it."""

    def __init__(self, settings: Settings, command: Callable[[], list[str]] | None = None) -> None:
        self._environment = {**os.environ, **settings.environment()}
        self._command = command or (lambda: [sys.executable, "-m", "worker", "quarantine"])
        #: Any stage may wait for a service, or for a slow network, but not for ever.
        self._patience_s = settings.outage_limit + settings.decode_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="quarantine")
        self._child: LineChild | None = None

    def record(self, ref: ImageRef, claim: Claim, lease: Lease) -> ImageRecord:
        """The picture's fate. Raises what ends the chunk: a lost lease, a stop, a service that stays away."""
        return self._thread.submit(self._record, ref, claim, lease).result()

    def close(self) -> None:
        """Ends the child."""
        self._thread.submit(self._drop).result()
        self._thread.shutdown()

    def _record(self, ref: ImageRef, claim: Claim, lease: Lease) -> ImageRecord:
        deaths = others = 0
        while True:
            try:
                return self._ask(ref, claim, lease)
            except CancelledJobError:
                self._drop()
                return _ended(ref, claim, ImageState.CANCELLED, None)
            except _ChildDiedError as death:
                log.warning("quarantine process died", index=ref.index, stage=death.stage, status=death.status)
                if death.stage in SUSPECT_STAGES:
                    deaths += 1
                else:
                    others += 1
                if deaths >= DEATHS_TO_POISON:
                    what = f"it ended its process {deaths} times during {death.stage} ({death.status})"
                    return _ended(ref, claim, ImageState.FAILED, ErrorInfo("poison", what))
                if others >= OTHER_DEATHS:
                    raise QuarantineError(f"the quarantine process does not start ({death.status})") from death
            except BaseException:
                self._drop()
                raise

    def _ask(self, ref: ImageRef, claim: Claim, lease: Lease) -> ImageRecord:
        if self._child is None:
            self._child = LineChild(self._command(), self._environment)
        child = self._child
        request = Request(
            ref=ref, message=claim.message, options=claim.options, model=claim.model, priority=claim.priority
        )
        stage: StageName | Literal["start"] = "start"
        deadline = Deadline(self._patience_s)
        child.send(msgspec.json.encode(request) + b"\n")
        while True:
            lease.check()
            line = child.receive(deadline.piece())
            if line is None:
                if not deadline.passed():
                    continue
                self._drop()
                raise _ChildDiedError(stage, f"silent for {self._patience_s:g} s")
            if line == b"":
                self._child = None
                raise _ChildDiedError(stage, describe_exit(child.end()))
            answer = msgspec.json.decode(line, type=Answer)
            if answer.record is not None:
                return answer.record
            if answer.unreachable is not None:
                raise UnreachableError(answer.unreachable)
            if answer.raised is not None:
                raise RaisedError(answer.raised)
            stage = answer.stage or stage
            deadline = Deadline(self._patience_s)

    def _drop(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _ChildDiedError(Exception):
    def __init__(self, stage: str, status: str) -> None:
        super().__init__(f"died in {stage}: {status}")
        self.stage = stage
        self.status = status


def _ended(ref: ImageRef, claim: Claim, state: ImageState, error: ErrorInfo | None) -> ImageRecord:
    return ImageRecord.of(ref, state, model=claim.model, error=error)
