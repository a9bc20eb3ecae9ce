"""Files that only their owner may read, among them `camq.env`, which gives a second terminal the settings."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make `path`, closed to others. A folder that exists keeps the mode its owner gave it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600. Readers see the old text or the new, never a part, and never a wider mode."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def write_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Write `KEY=value` lines, quoted for a shell, readable by their owner only."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())]
    write_private(path, "".join(lines))


def load_command(path: Path) -> str:
    """The shell line that loads the file: plain `.` would set the variables without exporting them."""
    return f"set -a; . {shlex.quote(str(path))}; set +a"
