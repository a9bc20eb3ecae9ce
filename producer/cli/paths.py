"""What `submit` and `run` are given: PATHS, names that `-` reads from stdin, a manifest."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import click
from click.shell_completion import CompletionItem

from shared.errors import UsageError

if TYPE_CHECKING:
    from producer.inputs.manifest import Manifest

F = TypeVar("F", bound=Callable[..., object])
STDIN = "-"
#: What stands on the command line, and the pictures that it means as `producer.inputs.expand.Expansion` takes them.
Pictures = list[tuple[str, Iterable[object]]]
_BLOCK = 65536


def complete_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Lets the shell complete file names, which click does by itself for its own path type only."""
    return [CompletionItem(incomplete, type="file")]


def paths_argument(function: F) -> F:
    """Adds `PATHS` and `--manifest`."""
    manifest = click.option(
        "--manifest",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        help="Pictures with your own ids: CSV with the columns source and id, or JSON lines; - is stdin.",
    )
    return manifest(click.argument("paths", nargs=-1, shell_complete=complete_files)(function))


def given_pictures(paths: Iterable[str], manifest: str | None) -> Pictures:
    """What the command line gives. UsageError when that is nothing, or when the manifest is at fault."""
    found: Pictures = [(path, named([path])) for path in paths]
    if manifest is not None:
        found.append((manifest, _manifest(manifest, stdin_is_taken=any(path == STDIN for path, _ in found))))
    if not found:
        raise click.UsageError("Missing argument 'PATHS...' or --manifest FILE.")
    return found


def all_of(pictures: Pictures) -> Iterator[object]:
    """Every one of them, in order."""
    return chain.from_iterable(images for _, images in pictures)


def _manifest(name: str, *, stdin_is_taken: bool) -> Manifest:
    from producer.inputs.manifest import Manifest

    def on_disk() -> BinaryIO:
        return Path(name).open("rb")

    if name != STDIN:
        found = Manifest(name, on_disk)
    elif stdin_is_taken:
        raise UsageError("stdin is either names (-) or a manifest (--manifest -), not both")
    else:
        data = sys.stdin.buffer.read()
        found = Manifest("the manifest on stdin", partial(io.BytesIO, data))
    found.check()
    return found


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
