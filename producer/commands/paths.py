"""The PATHS of `submit` and `run`, and the names that `-` reads from stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeVar

import click
from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., object])
STDIN = "-"
_BLOCK = 65536


def complete_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Lets the shell complete file names, which click does by itself for its own path type only."""
    return [CompletionItem(incomplete, type="file")]


def paths_argument(function: F) -> F:
    """Adds `PATHS`."""
    return click.argument("paths", nargs=-1, required=True, shell_complete=complete_files)(function)


def named(paths: Iterable[str]) -> Iterator[str]:
    """The paths, with what stands on stdin in the place of `-`."""
    for path in paths:
        if path == STDIN:
            yield from read_names(sys.stdin.buffer)
        else:
            yield path


def read_names(file: BinaryIO) -> Iterator[str]:
    """Names that end with a line, or with NUL where the first block has one (`find -print0`), as they come."""
    block = _some(file)
    end = b"\0" if b"\0" in block else b"\n"
    rest = b""
    while block:
        *names, rest = (rest + block).split(end)
        yield from (os.fsdecode(name) for name in names if name)
        block = _some(file)
    if rest:
        yield os.fsdecode(rest)


def _some(file: BinaryIO) -> bytes:
    """What is there now: a slow list is submitted while it is still being written."""
    return file.read1(_BLOCK)  # type: ignore[attr-defined,no-any-return]
