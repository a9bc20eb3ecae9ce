"""A declared test adapter of the quarantine process: does what the picture's source says, and nothing else.

`python -m tests.faults.suspect` speaks the same lines as `python -m worker quarantine`.
"""

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from shared.contract import ImageRecord, ImageState
from worker.chunk.quarantine import Answer, Request


def say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def act(request: Request) -> None:
    what, _, where = request.ref.source.partition(" in ")
    if where:
        say(Answer(stage=where))
    if what == "dies once" and not Path(request.ref.key).exists():
        Path(request.ref.key).touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hangs":
        time.sleep(3600)
    if what == "storage away":
        say(Answer(unreachable="storage is away"))
        return
    record = ImageRecord(index=request.ref.index, source=request.ref.source, state=ImageState.SUCCEEDED)
    say(Answer(record=record))


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        act(msgspec.json.decode(line, type=Request))
