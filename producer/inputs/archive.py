"""Pictures inside .zip and .tar archives, read where they lie: nothing is ever unpacked to disk."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Self

from producer.inputs.source import BytesSource, FailedSource, Source, check_size, checked, looks_like_a_picture
from shared.errors import ImageError, UsageError

#: More pictures belong into storage or a folder: the list of an archive's members is held in memory.
MOST_MEMBERS = 200_000
#: A picture of a compressed .tar is held in memory until its chunk is registered, which ends early for large ones.
MOST_STREAMED_BYTES = 100_000_000

#: The library reads an extended header whole, however much a compressed one unpacks to, and as many as follow each
#: other at once. A picture's path has at most 4,096 bytes.
MOST_HEADER_BYTES = 256 << 10
#: What it keeps of headers that hold for the whole archive.
MOST_GLOBAL_HEADERS = 1 << 20
_EXTENDED = frozenset(
    {
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    }
)

_PLAIN = (".tar",)
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (".zip", *_PLAIN, *_PACKED)
#: What the three libraries raise for bytes that are not what they should be.
_DAMAGE = (
    *(OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError),
    RecursionError,  # extended headers that follow each other without end
)


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """As the library's, with a limit for extended headers."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in _EXTENDED and found.size > MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of it has {found.size:,} bytes, more than {MOST_HEADER_BYTES:,}")
        return found


@dataclass(frozen=True, slots=True)
class MemberSource(Source):
    """A picture in an archive, read when it is uploaded; `size` is what the archive says of it."""

    size: int
    load: Callable[[], bytes]

    def read(self, limit: int) -> bytes:
        """Refused by its size before anything is unpacked; never more bytes than the archive announced."""
        check_size(self.name, self.size, limit)
        try:
            return checked(self.name, self.load(), limit)
        except _DAMAGE as error:
            raise ImageError("truncated", f"{self.name} cannot be read from its archive: {error}") from error


def looks_like_an_archive(name: str) -> bool:
    """Whether the name ends like an archive's."""
    return name.lower().endswith(SUFFIXES)


def members(name: str) -> Iterator[Source]:
    """The pictures in an archive, in its order, named `archive/inner/name`; hidden ones are left out.

    The whole archive is looked through first: UsageError for one that is broken, locked by a password or
    has too many pictures. Archives inside it are not opened.
    """
    lower = name.lower()
    if lower.endswith(".zip"):
        return _zip(name)
    return _tar(name, packed=not lower.endswith(_PLAIN))


def _zip(name: str) -> Iterator[Source]:
    with _reading(name):
        archive = zipfile.ZipFile(name)  # stays open as long as one of its pictures is wanted
    found = [info for info in archive.infolist() if not info.is_dir() and _is_wanted(info.filename)]
    _limit(name, len(found))
    if any(info.flag_bits & 1 for info in found):
        raise UsageError(f"the archive {name} is encrypted: unpack it first")
    for info in found:
        yield MemberSource(f"{name}/{info.filename}", info.file_size, partial(archive.read, info))


def _tar(name: str, *, packed: bool) -> Iterator[Source]:
    with _reading(name), tarfile.open(name, "r:*" if packed else "r:", tarinfo=_Header) as archive:
        found = [(info.name, info.size, info.offset_data) for info in _files(archive)]
    _limit(name, len(found))
    if packed:
        yield from _streamed(name)
        return
    for inner, size, offset in found:
        yield MemberSource(f"{name}/{inner}", size, partial(_slice, name, offset, size))


def _streamed(name: str) -> Iterator[Source]:
    """One picture after the other: going back in a compressed archive means unpacking it from its start."""
    with _reading(name), tarfile.open(name, tarinfo=_Header) as archive:
        for info in _files(archive):
            inner = f"{name}/{info.name}"
            if info.size > MOST_STREAMED_BYTES:
                yield FailedSource(inner, f"{inner} is larger than {MOST_STREAMED_BYTES} bytes", "too_large")
            elif file := archive.extractfile(info):
                yield BytesSource(inner, file.read())


def _files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for info in archive:
        archive.members = []  # type: ignore[attr-defined]  # else the library remembers every member it has passed
        if sum(len(key) + len(value) for key, value in archive.pax_headers.items()) > MOST_GLOBAL_HEADERS:
            raise tarfile.ReadError("its headers are too large")
        if info.isfile() and not info.issparse() and _is_wanted(info.name):
            yield info
    # The library takes a file that ends inside a header for one that ends there.
    if archive.fileobj is not None:
        archive.fileobj.seek(archive.offset)
        if 0 < len(archive.fileobj.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends in the middle of a header")


def _slice(name: str, offset: int, size: int) -> bytes:
    with Path(name).open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _is_wanted(inner: str) -> bool:
    parts = PurePosixPath(inner).parts
    return looks_like_a_picture(inner) and not any(p == "__MACOSX" or (p.startswith(".") and p != ".") for p in parts)


def _limit(name: str, count: int) -> None:
    if count > MOST_MEMBERS:
        raise UsageError(f"{name} has {count:,} pictures, more than {MOST_MEMBERS:,}: unpack it first")


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise UsageError(f"cannot read the archive {name}: {error}") from error
