"""`camq doctor`."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from producer.cli.common import emit, json_option
from shared.config import Settings
from shared.text import visible

if TYPE_CHECKING:
    from producer.local.doctor import Check


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check Redis, storage, weights, device and versions, and say how to fix what is wrong.

    \b
    Example:
      camq doctor
    """
    from producer.local.doctor import examine, exit_status

    checks = []
    for check in examine(Settings.load()):
        checks.append(check)
        if not as_json:
            _print(check)
    if as_json:
        emit({"ok": not exit_status(checks), "checks": checks})
    return exit_status(checks)


def _print(check: Check) -> None:
    """One line for the check and one for its remedy, wrapped under the detail."""
    lines = [check.detail] if check.ok or not check.remedy else [check.detail, f"→ {check.remedy}"]
    head = f"{'ok' if check.ok else 'FAIL':<6}{check.name:<10}"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100_000
    for line in lines:
        text = textwrap.wrap(visible(line), max(width - len(head), 20), break_on_hyphens=False)
        for part in text:
            click.echo(head + part)
            head = " " * len(head)
