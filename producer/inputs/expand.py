"""What the user gives, expanded into images in a stable order: paths, patterns, addresses, bytes, pictures, or a
mapping from the user's own ids to them."""

import glob
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from producer.inputs.archive import looks_like_an_archive, members
from producer.inputs.manifest import Identified, checked_id
from producer.inputs.source import (
    BytesSource,
    FailedSource,
    FileSource,
    LazySource,
    ObjectSource,
    Source,
    encode_picture,
    looks_like_a_picture,
    unreadable,
)
from shared.errors import NotFoundError, UsageError
from shared.storage.port import SCHEME, ObjectStore
from shared.text import did_you_mean

#: Names beside a mistyped path that are looked at; in a folder of millions it would take minutes to compare all.
MOST_NEIGHBOURS = 10_000
#: What an open file is taken to keep in memory, where nobody can say: as much as a usual picture.
USUAL_PICTURE = 1 << 20


class Expansion:
    """Iterates over the images that `given` means.

    Only a named file that is missing is an image that fails; a folder or a pattern without a picture is a
    notice. Raises UsageError when nothing at all matches. `store` is asked for only for s3:// addresses.
    """

    def __init__(
        self, given: object, *, store: Callable[[], ObjectStore], notice: Callable[[str], None] = lambda _: None
    ) -> None:
        if isinstance(given, Mapping):
            given = [Identified(checked_id(key), picture) for key, picture in given.items()]
        one = isinstance(given, str | bytes | bytearray | memoryview | os.PathLike | Source | Identified)
        self._given: Iterable[Any] = [given] if one or not isinstance(given, Iterable) else given
        self._store = store
        self._notice = notice
        #: Named files that are missing: they count only once something else was found.
        self._missing: list[Source] = []
        self._found = False

    def __iter__(self) -> Iterator[Source]:
        for position, item in enumerate(self._given):
            found_here = False
            for source in self._expand(item, position):
                found_here = True
                if isinstance(source, FailedSource) and not self._found:
                    self._missing.append(source)
                    continue
                self._found = True
                yield from self._missing
                self._missing.clear()
                yield source
            if not found_here:
                self._notice(f"no picture matches {os.fsdecode(item)!r}")
        if not self._found:
            names = ", ".join(f"{source.name!r} not found{_nearest_path(source.name)}" for source in self._missing[:5])
            raise UsageError(f"no path matches anything{f': {names}' if names else ''}")

    def _expand(self, item: Any, position: int) -> Iterator[Source]:
        image = sys.modules.get("PIL.Image")  # a picture can only be given by who has Pillow loaded
        if isinstance(item, Source):
            yield item
        elif isinstance(item, Identified):
            yield self._identified(item, position)
        elif isinstance(item, str) and item.startswith(SCHEME):
            yield from self._objects(item)
        elif isinstance(item, str | os.PathLike):
            yield from _paths(os.fsdecode(item), pattern=isinstance(item, str))
        elif isinstance(item, bytes | bytearray | memoryview):
            yield BytesSource(f"image-{position}", bytes(item))
        elif image is not None and isinstance(item, image.Image):
            name = getattr(item, "filename", "") or f"image-{position}"
            size = 4 * item.width * item.height  # Pillow keeps four bytes a pixel of most modes
            yield LazySource(os.fsdecode(name), lambda: encode_picture(item), size)
        elif isinstance(item, io.TextIOBase):
            raise UsageError(f"{getattr(item, 'name', item)!r} is a text file object: open it in mode 'rb'")
        elif callable(getattr(item, "read", None)):
            name = getattr(item, "name", None)
            yield LazySource(name if isinstance(name, str) else f"image-{position}", _reader(item), _size(item))
        else:
            raise UsageError(
                f"{_with_article(type(item).__name__)} is not an image: expected a path, a pattern, an s3://"
                " address, bytes, a file object or a PIL image"
            )

    def _identified(self, item: Identified, position: int) -> Source:
        picture = item.picture
        if isinstance(picture, str) and not picture.startswith(SCHEME):
            images = _paths(picture, pattern=False)
        else:
            images = self._expand(picture, position)
        found = list(islice(images, 2))
        if len(found) != 1:
            what = "several pictures" if found else "no picture"
            raise UsageError(f"id {item.id!r}: expected one picture, but {item.picture!r} is {what}")
        return replace(found[0], id=item.id)

    def _objects(self, address: str) -> Iterator[Source]:
        store = self._store()
        try:
            found_one = None if address.endswith("/") else store.stat(address)
            if found_one is not None:
                yield ObjectSource(address, found_one.size)
                return
            found = False
            for key, stat in store.list(address):
                if looks_like_a_picture(key) or not Path(key).suffix:
                    found = True
                    yield ObjectSource(key, stat.size)
        except NotFoundError as error:
            raise UsageError(f"cannot list {address!r}: {error}") from error
        if not found and looks_like_a_picture(address):
            yield FailedSource(address, f"there is no object {address}")


def _nearest_path(name: str) -> str:
    """A hint at what stands beside a path that does not exist, or nothing."""
    if SCHEME in name:
        return ""
    path = Path(name)
    try:
        with os.scandir(path.parent) as entries:
            beside = [entry.name for entry in islice(entries, MOST_NEIGHBOURS)]
    except (OSError, ValueError):
        return ""
    return did_you_mean(path.name, (one for one in beside if not one.startswith(".")))


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


def _reader(file: Any) -> Callable[[], bytes]:
    """Reads an open file from where it stands now, also a second time, unless it is a pipe."""
    seek, tell = getattr(file, "seek", None), getattr(file, "tell", None)
    if not callable(seek) or not callable(tell) or not getattr(file, "seekable", lambda: True)():
        return cast(Callable[[], bytes], file.read)
    start = tell()

    def read() -> bytes:
        seek(start)
        return cast(bytes, file.read())

    return read


def _size(file: Any) -> int:
    """What an open file may keep in memory, in bytes."""
    return file.getbuffer().nbytes if isinstance(file, io.BytesIO) else USUAL_PICTURE


def _paths(name: str, *, pattern: bool) -> Iterator[Source]:
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
