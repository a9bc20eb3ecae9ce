"""`python -m tests.containers`: builds and runs the shipped containers on an engine of its own, and prints a table.

Needs root and Debian's packages of Docker. The base images that it makes and the engine's cache stay in `--folder`, so
that the next run is quicker. Exit status 1 when a trial fails, 2 when something is missing here.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.containers.bases import make_bases
from tests.containers.engine import engine, missing
from tests.containers.stack import Stack
from tests.containers.trials import TRIALS, removed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.containers", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/camq-containers"), help="40 GB of disk")
    parser.add_argument(
        "--only", nargs="*", choices=[trial.__name__ for trial in TRIALS], help="trials besides `start`"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the containers running as long as this program waits"
    )
    options = parser.parse_args()
    lacks = missing()
    if lacks:
        say(f"cannot run here: {'; '.join(lacks)}")
        return 2
    options.folder.mkdir(parents=True, exist_ok=True)
    work = options.folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    with engine(options.folder) as docker:
        say("base images")
        make_bases(docker, options.folder)
        stack = Stack(docker, work)
        stack.prepare()
        try:
            failed = sum(not tried(trial, stack) for trial in TRIALS if wanted(trial, options.only))
            if options.keep:
                input("containers are running; Enter removes them ")
        finally:
            removed(stack)
    return 1 if failed else 0


def wanted(trial: Callable[[Stack], str], only: list[str] | None) -> bool:
    return not only or trial.__name__ in ("build", "start", *only)


def tried(trial: Callable[[Stack], str], stack: Stack) -> bool:
    """Whether the trial held; its row of the table is printed as Markdown."""
    say(f"{trial.__name__} …")
    began = time.monotonic()
    try:
        seen, held = trial(stack), True
    except (AssertionError, SystemExit) as error:
        seen, held = f"**failed**: {error}", False
    took = time.monotonic() - began
    print(f"| {trial.__name__.replace('_', ' ')} | {seen} | {took:.0f} s |", flush=True)  # noqa: T201
    return held


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
