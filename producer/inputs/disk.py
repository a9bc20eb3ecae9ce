"""Files and folders of this machine: paths, patterns, what lies below a folder."""

import glob
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from producer.inputs.archive import looks_like_an_archive, members
from producer.inputs.source import FailedSource, FileSource, Source, looks_like_a_picture, unreadable
from shared.errors import UsageError
from shared.text import did_you_mean

#: Names beside a mistyped path that are looked at; in a folder of millions it would take minutes to compare all.
MOST_NEIGHBOURS = 10_000


def paths(name: str, *, pattern: bool) -> Iterator[Source]:
    if os.path.isdir(name):  # noqa: PTH112 - a Path would drop the user's spelling
        yield from _folder(name)
    elif pattern and glob.has_magic(name) and not os.path.lexists(name):
        yield from _matches(name)
    elif os.path.lexists(name):
        yield from _named(name)
    else:
        yield _absent(name)


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


def _folder(name: str) -> Iterator[Source]:
    """The pictures below a folder by name; what is hidden, and folders behind links, are left out."""
    try:
        with os.scandir(name) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise UsageError(f"cannot list the folder {name}: {error.strerror}") from error
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(entry.path)
        elif looks_like_a_picture(entry.name):
            yield FileSource(entry.path)


def _matches(pattern: str) -> Iterator[Source]:
    """The pictures that match; also other files when the pattern itself ends in their suffix.

    A folder that matches stands for its pictures, but not after `**`, which has visited them already.
    """
    suffix = Path(pattern).suffix
    explicit = bool(suffix) and not glob.has_magic(suffix)
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - a Path would drop the user's spelling
        if os.path.isdir(name):  # noqa: PTH112 - as above
            if "**" not in pattern:
                yield from _folder(name)
        elif explicit or looks_like_a_picture(name):
            yield from _named(name)


def _named(name: str) -> Iterator[Source]:
    """A file that was named, or spelled out by a pattern's suffix: an archive stands for its pictures."""
    if looks_like_an_archive(name) and os.path.isfile(name):  # noqa: PTH113 - as above
        yield from members(name)
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
