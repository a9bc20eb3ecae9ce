"""Files and folders of this machine: paths, patterns, what lies below a folder."""

import glob
import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from producer.inputs.archives.archive import looks_like_an_archive, members
from producer.inputs.archives.members import Members
from producer.inputs.left_out import LeftOut
from producer.inputs.source import FailedSource, FileSource, Source, split_page, unreadable, with_page
from producer.inputs.wanted import HEAD_BYTES, is_wanted
from shared.errors import UsageError
from shared.text import did_you_mean

#: Names beside a mistyped path that are looked at; in a folder of millions it would take minutes to compare all.
MOST_NEIGHBOURS = 10_000
#: Device and inode of the folders that one is in, from the outermost on.
_Above = tuple[tuple[int, int], ...]


def paths(name: str, left_out: LeftOut, *, pattern: bool, inside: Members) -> Iterator[Source]:
    """The pictures that a path stands for; what is passed over is counted in `left_out`. `inside` knows archives.

    `FILE#n` is page n of a file, unless a file of that very name exists.
    """
    file, page = split_page(name)
    if os.path.isdir(name):  # noqa: PTH112 - a Path would drop the user's spelling
        yield from _folder(name, left_out)
    elif os.path.lexists(name):
        yield from _named(name, left_out)
    elif page is not None and os.path.isfile(file):  # noqa: PTH113 - as above
        yield FileSource(name, page=page)
    elif (archive := _archive_above(name)) is not None:
        yield inside.find(archive, name)
    elif pattern and glob.has_magic(name):
        found = _matches(file, left_out)
        yield from found if page is None else (with_page(source, page) for source in found)
    else:
        yield _absent(name)


def _archive_above(name: str) -> str | None:
    """The archive on disk that a name leads into, as results name the pictures in it."""
    above = name.rpartition("/")[0]
    while above:
        if looks_like_an_archive(above) and os.path.isfile(above):  # noqa: PTH113 - as above
            return above
        above = above.rpartition("/")[0]
    return None


def _absent(name: str) -> FailedSource:
    """A file that is not there, or below a folder that we may not enter."""
    try:
        os.lstat(name)
    except PermissionError as error:
        failure = unreadable(name, error)
        return FailedSource(name, failure.message, failure.code)
    except (OSError, ValueError):
        pass
    return FailedSource(name, f"there is no file {name}")


def _folder(name: str, left_out: LeftOut, above: _Above = ()) -> Iterator[Source]:
    """The pictures below a folder by name, also behind links; what is hidden is not looked at.

    A link back to a folder that one is in already is not entered. UsageError when the outermost cannot be listed.
    """
    try:
        here = os.stat(name)  # noqa: PTH116 - a Path would drop the user's spelling
        identity = (here.st_dev, here.st_ino)
        with os.scandir(name) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        if not above:
            raise UsageError(f"cannot list the folder {name}: {error.strerror}") from error
        left_out.kind("folders that cannot be listed")
        return
    if identity in above:
        left_out.kind("links back to a folder above")
        return
    for entry in visible:
        if _is_folder(entry):
            yield from _folder(entry.path, left_out, (*above, identity))
        elif is_wanted(entry.name, partial(_head, entry.path), left_out):
            yield FileSource(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _head(path: str) -> bytes:
    """A file's first bytes; none of what is no regular file: a pipe would block for ever."""
    if not os.path.isfile(path):  # noqa: PTH113 - a Path would drop the user's spelling
        return b""
    with Path(path).open("rb", buffering=0) as file:
        return file.read(HEAD_BYTES) or b""


def _matches(pattern: str, left_out: LeftOut) -> Iterator[Source]:
    """The pictures that match; also other files when the pattern itself ends in their suffix.

    A folder that matches stands for its pictures, but not after `**`, which has visited them already.
    """
    suffix = Path(pattern).suffix
    explicit = bool(suffix) and not glob.has_magic(suffix)
    for name in sorted(glob.glob(_literal(pattern), recursive=True)):  # noqa: PTH207 - as above
        if os.path.isdir(name):  # noqa: PTH112 - as above
            if "**" not in pattern:
                yield from _folder(name, left_out)
        elif explicit or is_wanted(name, partial(_head, name), left_out):
            yield from _named(name, left_out)


def _literal(pattern: str) -> str:
    """The pattern with those of its first folders escaped that are called so: `photos [old]/*.jpg` is a folder's."""
    parts = pattern.split("/")
    known = 0
    while known < len(parts) and os.path.lexists("/".join(parts[: known + 1]) or "/"):
        known += 1
    literal, rest = "/".join(parts[:known]), "/".join(parts[known:])
    return f"{glob.escape(literal)}/{rest}" if known else pattern


def _named(name: str, left_out: LeftOut) -> Iterator[Source]:
    """A file that was named, or spelled out by a pattern's suffix: an archive stands for its pictures."""
    if looks_like_an_archive(name) and os.path.isfile(name):  # noqa: PTH113 - as above
        yield from members(name, left_out)
    else:
        yield FileSource(name)


def nearest_path(name: str) -> str:
    """A hint at what stands beside a path that does not exist, or nothing."""
    path = Path(name)
    try:
        with os.scandir(path.parent) as entries:
            beside = [entry.name for entry in islice(entries, MOST_NEIGHBOURS)]
    except (OSError, ValueError):
        return ""
    return did_you_mean(path.name, (one for one in beside if not one.startswith(".")))
