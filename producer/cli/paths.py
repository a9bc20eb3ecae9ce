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
    from producer.inputs.pascal_voc import PascalVoc

F = TypeVar("F", bound=Callable[..., object])
STDIN = "-"
#: What stands on the command line, and the pictures that it means as `producer.inputs.expand.Expansion` takes them.
Pictures = list[tuple[str, Iterable[object]]]
_BLOCK = 65536


def complete_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Lets the shell complete file names, which click does by itself for its own path type only."""
    return [CompletionItem(incomplete, type="file")]


def paths_argument(function: F) -> F:
    """Adds `PATHS`, `--manifest` and `--source-column`."""
    return manifest_options(click.argument("paths", nargs=-1, shell_complete=complete_files)(function))


def manifest_options(function: F) -> F:
    """Adds `--manifest` and `--source-column`."""
    manifest = click.option(
        "--manifest",
        metavar="FILE",
        type=click.Path(exists=True, allow_dash=True),
        help="Table of pictures: CSV with any delimiter, JSON, JSON lines, COCO or Parquet; - is stdin. Or a folder of"
        " Pascal VOC.",
    )
    column = click.option(
        "--source-column",
        metavar="NAME",
        help="Column of the manifest with the pictures.  [default: source, path, file, image, …]",
    )
    return manifest(column(function))


def given_pictures(paths: Iterable[str], manifest: str | None, source_column: str | None = None) -> Pictures:
    """What the command line gives. UsageError when that is nothing, or when the manifest is at fault."""
    found: Pictures = [(path, named([path])) for path in paths]
    if manifest is not None:
        taken = any(path == STDIN for path, _ in found)
        found.append((manifest, _manifest(manifest, source_column, stdin_is_taken=taken)))
    elif source_column is not None:
        raise click.UsageError("--source-column names a column of --manifest FILE, which is missing.")
    if not found:
        raise click.UsageError("Missing argument 'PATHS...' or --manifest FILE.")
    return found


def all_of(pictures: Pictures) -> Iterator[object]:
    """Every one of them, in order."""
    return chain.from_iterable(images for _, images in pictures)


def _manifest(name: str, column: str | None, *, stdin_is_taken: bool) -> Manifest | PascalVoc:
    from producer.inputs.manifest import Manifest
    from producer.inputs.pascal_voc import PascalVoc

    def on_disk() -> BinaryIO:
        return Path(name).open("rb")

    found: Manifest | PascalVoc
    if Path(name).is_dir():
        if column is not None:
            raise UsageError(f"--source-column names a column of a table, and {name} is a folder of Pascal VOC's")
        found = PascalVoc(name)
    elif name != STDIN:
        found = Manifest(name, on_disk, column)
    elif stdin_is_taken:
        raise UsageError("stdin is either names (-) or a manifest (--manifest -), not both")
    else:
        data = sys.stdin.buffer.read()
        found = Manifest("the manifest on stdin", partial(io.BytesIO, data), column)
    found.check()
    return found


def named(paths: Iterable[str]) -> Iterator[object]:
    """The paths, with what stands on stdin in the place of `-`: names, or a picture itself."""
    for path in paths:
        if path == STDIN:
            yield from read_stdin(sys.stdin.buffer)
        else:
            yield path


def read_stdin(file: BinaryIO) -> Iterator[object]:
    """The names in a file; the file itself where it begins like a picture. UsageError for anything else of bytes."""
    from producer.inputs.source import BytesSource
    from shared.pictures import SIGNATURE
    from shared.unsupported import unsupported

    block = _some(file)
    kind = unsupported(block)
    if SIGNATURE.match(block) or (kind is not None and kind.library):
        yield BytesSource("stdin", block + file.read())
    elif kind is not None:
        raise UsageError(f"stdin is {kind.name}, which camq does not read: {kind.way}")
    else:
        yield from read_names(file, block)


def read_names(file: BinaryIO, block: bytes | None = None) -> Iterator[str]:
    """Names that end with a line, or with NUL where the first block has one (`find -print0`), as they come.

    `block` has been read already. Lines may end as on Windows, and names may stand in quotes.
    """
    block = _some(file) if block is None else block
    end = b"\0" if b"\0" in block else b"\n"
    rest = b""
    while block:
        *names, rest = (rest + block).split(end)
        yield from (_name(name, end) for name in names if name.strip(b"\r"))
        block = _some(file)
    if rest.strip(b"\r"):
        yield _name(rest, end)


def _name(line: bytes, end: bytes) -> str:
    """A name as it was meant: a file that really is called so is taken by its name to the letter."""
    name = os.fsdecode(line)
    if end == b"\0" or os.path.lexists(name):
        return name
    name = name.removesuffix("\r")
    quoted = len(name) > 2 and name[0] == name[-1] == '"' and not os.path.lexists(name)
    return name[1:-1] if quoted else name


def _some(file: BinaryIO) -> bytes:
    """What is there now: a slow list is submitted while it is still being written."""
    return file.read1(_BLOCK)  # type: ignore[attr-defined,no-any-return]
