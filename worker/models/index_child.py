"""`python -m worker.models.index_child FILE`: what is in a checkpoint, found out in a process with limits of its own.

On stdout a JSON line, `Answer`. It loads no torch, so that little memory is enough.
"""

import resource
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from shared.errors import ModelError
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
