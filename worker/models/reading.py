"""Reads checkpoints of strangers: a process of its own, bounded and without secrets, says what is in them.

The process is this module as a program, `python -m worker.models.reading FILE`, which writes an `Answer` as JSON. It
loads no torch, so that little memory is enough.
"""

import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from shared.errors import ModelError
from shared.processes.child import bound_command, describe_exit
from shared.processes.confined import environment
from worker.core.checkpoint.files import read_index
from worker.core.checkpoint.index import Index

#: Python and the lists of a large checkpoint with its optimiser take a third of that.
MOST_MEMORY = 768 << 20
MOST_SECONDS = 60
#: Of the answer, which the worker holds in memory.
MOST_BYTES = 64 << 20


class Answer(msgspec.Struct, frozen=True):
    """What is in the file, or why it cannot be used."""

    index: Index | None = None
    error: str = ""


def read_bounded(path: Path) -> Index:
    """`read_index` in a child process. Raises ModelError as it does, and when the child does not survive the file."""
    command = bound_command([sys.executable, "-P", "-m", "worker.models.reading", str(path)])
    try:
        done = subprocess.run(
            command, env=environment(os.environ), capture_output=True, timeout=2 * MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path} cannot be read as weights: it takes longer than {MOST_SECONDS} s to list") from None
    if done.returncode:
        # The reason is the last line of a traceback, if there is one.
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [describe_exit(done.returncode)]
        raise ModelError(f"{path} cannot be read as weights: the process that reads it ended ({last[0]})")
    answer = msgspec.json.decode(done.stdout, type=Answer)
    if answer.index is None:
        raise ModelError(answer.error)
    return answer.index


def main(path: Path) -> bytes:
    """The answer for one file, encoded."""
    try:
        answer = Answer(read_index(path))
    except ModelError as error:
        answer = Answer(error=str(error))
    except (MemoryError, RecursionError):
        answer = Answer(error=f"{path} cannot be read as weights: it unpacks to far more than a checkpoint needs")
    encoded = msgspec.json.encode(answer)
    if len(encoded) > MOST_BYTES:
        return msgspec.json.encode(Answer(error=f"{path} lists more tensors than a network has"))
    return encoded


if __name__ == "__main__":
    for what, most in ((resource.RLIMIT_AS, MOST_MEMORY), (resource.RLIMIT_CPU, MOST_SECONDS)):
        with suppress(ValueError, OSError):  # macOS knows some of them and enforces few
            resource.setrlimit(what, (most, most))
    sys.stdout.buffer.write(main(Path(sys.argv[1])))
