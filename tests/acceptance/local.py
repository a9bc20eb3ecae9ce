"""camq on this machine alone: `camq up` in one terminal, its user in another."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.command import CAMQ, Command, run_apart, run_here


def camq(*arguments: object, cwd: Path, env: dict[str, str] | None = None) -> Command:
    return run_apart(*arguments, cwd=cwd, env=os.environ | (env or {}))


@dataclass
class Up:
    """A running `camq up`, and what a second terminal knows of it."""

    process: subprocess.Popen[str]
    folder: Path
    environment: dict[str, str]
    #: The link to the live page.
    page: str

    def camq(self, *arguments: object) -> Command:
        return run_here(*arguments, cwd=self.folder, env=os.environ | self.environment)

    def workers(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.camq("workers", "--json").stdout)
        return found


def load(env_file: Path) -> dict[str, str]:
    """The variables as a shell that sources the file exports them."""
    done = subprocess.run(
        ["sh", "-c", f"set -a; . '{env_file}'; env -0"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/bin"},
    )
    pairs = (entry.partition("=") for entry in done.stdout.split("\0"))
    return {name: value for name, _, value in pairs if name.startswith("CAMQ_")}


@contextmanager
def serving(*options: object, folder: Path) -> Iterator[Up]:
    """`camq up` with these options, ready; SIGTERM ends it."""
    with (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [CAMQ, "up", *map(str, options), "--json"], cwd=folder, stdout=subprocess.PIPE, stderr=err, text=True
        )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, (folder / "err").read_text()
        ready = json.loads(said)
        yield Up(process, folder, load(Path(ready["env"])), ready["page"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        assert process.stdout is not None
        process.stdout.close()
