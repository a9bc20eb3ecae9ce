"""Reads checkpoints of strangers: a process of its own, bounded and without secrets, says what is in them."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from shared.errors import ModelError
from shared.processes.child import bound_command, describe_exit
from shared.processes.confined import environment
from worker.core.checkpoint.index import Index
from worker.models.index_child import MOST_SECONDS, Answer


def read_bounded(path: Path) -> Index:
    """`read_index` in a child process. Raises ModelError as it does, and when the child does not survive the file."""
    command = bound_command([sys.executable, "-P", "-m", "worker.models.index_child", str(path)])
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
