"""The `camq` command: the console script's path, and a quick way to run it."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from producer.cli.main import main

CAMQ = str(Path(sys.executable).with_name("camq"))
Command = subprocess.CompletedProcess[str]


def run_here(*arguments: object, cwd: Path, env: dict[str, str]) -> Command:
    """Run the console script's own function in this process, with this folder and environment.

    A process of its own takes half a second of imports. The tests that are about signals, pipes, terminals or
    stdin start one.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    given = [str(argument) for argument in arguments]
    with patch.dict(os.environ, env, clear=True), chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        try:
            main(given)
        except SystemExit as end:
            status = int(end.code or 0)
    written = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return Command(["camq", *given], status, *written)


def run_apart(*arguments: object, cwd: Path, env: dict[str, str], stdin: str | None = None) -> Command:
    """The command as a process of its own."""
    return subprocess.run(
        [CAMQ, *map(str, arguments)],
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], str]]]:
    """A terminal for a process to write to, and what reads all that was drawn on it."""
    ours, theirs = pty.openpty()
    try:
        yield theirs, lambda: os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
