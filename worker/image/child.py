"""Child processes of the worker: bound to its life, so that a killed worker leaves nobody behind."""

import os
import signal
import sys

from shared.processes import bound


def command(*arguments: str) -> list[str]:
    """`python -m …` as a command that ends together with the thread that starts it (on Linux).

    So start it in a thread that lives as long as the child should.
    """
    own = [sys.executable, "-m", *arguments]
    if sys.platform != "linux":
        return own
    return [sys.executable, "-I", "-S", bound.__file__, str(os.getpid()), *own]


def manner_of_death(code: int) -> str:
    """A return code in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
