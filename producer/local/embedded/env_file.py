"""`camq.env`: the way into an embedded stack for a second terminal."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from producer.local.embedded.files import write_private


def write_env(path: Path, variables: Mapping[str, str]) -> None:
    """Write `KEY=value` lines, quoted for a shell, readable by their owner only."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())]
    write_private(path, "".join(lines))


def load_command(path: Path) -> str:
    """The shell line that loads the file: plain `.` would set the variables without exporting them."""
    return f"set -a; . {shlex.quote(str(path))}; set +a"
