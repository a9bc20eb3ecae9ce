"""Pictures inside .zip and .tar archives, read where they lie: nothing is ever unpacked to disk."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Self

from producer.inputs.archives.beside import Beside
from producer.inputs.left_out import LeftOut
from producer.inputs.source import BytesSource, FailedSource, Source, check_size, checked
from producer.inputs.wanted import HEAD_BYTES, is_wanted
from shared.errors import ImageError, UsageError
from shared.unsupported import ARCHIVE, unsupported

#: More pictures belong into storage or a folder: the list of an archive's members is held in memory.
MOST_MEMBERS = 200_000
#: A picture of a compressed .tar, or an archive in an archive, is held in memory until its chunk is registered, which
#: ends early for large ones.
MOST_STREAMED_BYTES = 100_000_000
#: An archive in an archive in an archive; each is held in memory.
MOST_DEPTH = 2
#: Info-ZIP's extra field with a member's name in UTF-8.
_UNICODE_PATH = 0x7075

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
        if found.type == tarfile.GNUTYPE_SPARSE:
            raise _sparse(found.name)
        return found

    def _proc_gnusparse_10(self, next: tarfile.TarInfo, *_: Any) -> None:  # noqa: A002 -- the library's name
        raise _sparse(next.name)


def _sparse(name: str) -> tarfile.ReadError:
    """The list of a sparse file's pieces has no limit of its own, and is read before anybody asks for the file."""
    return tarfile.ReadError(f"{name} in it is stored as a sparse file: write the archive without tar's --sparse")


@dataclass(frozen=True, slots=True)
class MemberSource(Source):
    """A picture in an archive, read when it is uploaded; `size` is what the archive says of it."""

    size: int
    load: Callable[[], bytes]
    #: The archive itself is held in memory, for it lies in another.
    in_memory: bool = False

    @property
    def held(self) -> int:
        """Its share of the archive."""
        return self.size if self.in_memory else 0

    def read(self, limit: int) -> bytes:
        """Refused by its size before anything is unpacked; never more bytes than the archive announced."""
        check_size(self.name, self.size, limit)
        try:
            return checked(self.name, self.load(), limit)
        except _DAMAGE as error:
            raise ImageError("damaged", f"{self.name} cannot be read from its archive: {error}") from error


def looks_like_an_archive(name: str) -> bool:
    """Whether the name ends like an archive's."""
    return name.lower().endswith(SUFFIXES)


def members(name: str, left_out: LeftOut) -> Iterator[Source]:
    """The pictures in an archive, in its order, named `archive/inner/name`; hidden ones are not looked at.

    The whole archive is looked through first: UsageError for one that is broken, locked by a password or
    has too many pictures. An archive inside it is opened as well; one that is broken fails alone.
    """
    return _members(name, _On(lambda: Path(name).open("rb")), left_out)


@dataclass(frozen=True, slots=True)
class _On:
    """How an archive is opened, and how many archives it lies in."""

    open: Callable[[], BinaryIO]
    depth: int = 0


def _members(name: str, on: _On, left_out: LeftOut) -> Iterator[Source]:
    lower = name.lower()
    if lower.endswith(".zip"):
        return _zip(name, on, left_out)
    return _tar(name, on, left_out, packed=not lower.endswith(_PLAIN))


def _zip(name: str, on: _On, left_out: LeftOut) -> Iterator[Source]:
    with _reading(name):
        archive = zipfile.ZipFile(on.open())  # stays open as long as one of its pictures is wanted
    every = [(_zip_name(info), info) for info in archive.infolist() if not info.is_dir()]
    seen = [(inner, info) for inner, info in every if not _is_hidden(inner)]
    if any(info.flag_bits & 1 for _, info in seen):
        raise UsageError(f"the archive {name} is encrypted: unpack it first")
    found = [(inner, info) for inner, info in seen if _is_wanted(inner, partial(archive.open, info), left_out)]
    _limit(name, len(found))
    for inner, info in found:
        path = f"{name}/{inner}"
        if looks_like_an_archive(inner):
            yield from _nested(path, info.file_size, partial(archive.read, info), on, left_out)
        else:
            yield MemberSource(path, info.file_size, partial(archive.read, info), in_memory=on.depth > 0)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The member's name. Where the archive does not say how it is encoded, the library takes code page 437; what is
    valid UTF-8 is that, and Info-ZIP writes UTF-8 beside the name."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    try:
        raw = info.filename.encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == _UNICODE_PATH and extra[5:9] == struct.pack("<L", zlib.crc32(raw)):
            raw = extra[9 : 4 + size]
        extra = extra[4 + size :]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return info.filename


def _tar(name: str, on: _On, left_out: LeftOut, *, packed: bool) -> Iterator[Source]:
    beside = Beside()
    with _reading(name), on.open() as file, _open_tar(file, packed=packed) as archive:
        found = [(info.name, info.size, info.offset_data) for info in _files(archive, left_out, beside)]
    _limit(name, len(found))
    beside.without_pictures([inner for inner, _, _ in found], left_out)
    if packed:
        yield from _streamed(name, on, left_out, beside)
        return
    for inner, size, offset in found:
        path, load = f"{name}/{inner}", partial(_slice, on, offset, size)
        if looks_like_an_archive(inner):
            yield from _nested(path, size, load, on, left_out)
        else:
            yield MemberSource(path, size, load, in_memory=on.depth > 0, notes=beside.notes(inner))


def _open_tar(file: BinaryIO, *, packed: bool) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="r:*" if packed else "r:", tarinfo=_Header)


def _streamed(name: str, on: _On, left_out: LeftOut, beside: Beside) -> Iterator[Source]:
    """One picture after the other: going back in a compressed archive means unpacking it from its start."""
    with _reading(name), on.open() as opened, _open_tar(opened, packed=True) as archive:
        for info in _files(archive, LeftOut(), Beside()):  # the first look counted and read all other files
            inner = f"{name}/{info.name}"
            file = archive.extractfile(info)
            if file is None:
                continue
            if looks_like_an_archive(inner):
                yield from _nested(inner, info.size, file.read, on, left_out)
            elif info.size > MOST_STREAMED_BYTES:
                yield FailedSource(inner, f"{inner} is larger than {MOST_STREAMED_BYTES} bytes", "too_large")
            else:
                yield BytesSource(inner, file.read(), notes=beside.notes(info.name))


def _nested(name: str, size: int, load: Callable[[], bytes], on: _On, left_out: LeftOut) -> Iterator[Source]:
    """The pictures of an archive inside an archive, which is held in memory as long as one of them is wanted."""
    if on.depth >= MOST_DEPTH or size > MOST_STREAMED_BYTES:
        left_out.file(name, "unpack it: it is too large, or lies too deep, to be read inside another")
        return
    data = b""
    try:
        data = load()
        yield from _members(name, _On(partial(io.BytesIO, data), on.depth + 1), left_out)
    except (UsageError, *_DAMAGE) as error:
        if data and not _is_archive(data):  # it is only called so
            left_out.file(name)
            return
        reason = str(error) if name in str(error) else f"cannot read the archive {name}: {error}"
        yield FailedSource(name, reason, "damaged")


def _is_archive(data: bytes) -> bool:
    kind = unsupported(data)
    return data[257:262] == b"ustar" or (kind is not None and kind.name == ARCHIVE)


def _files(archive: tarfile.TarFile, left_out: LeftOut, beside: Beside) -> Iterator[tarfile.TarInfo]:
    for info in archive:
        archive.members = []  # type: ignore[attr-defined]  # else the library remembers every member it has passed
        if sum(len(key) + len(value) for key, value in archive.pax_headers.items()) > MOST_GLOBAL_HEADERS:
            raise tarfile.ReadError("its headers are too large")
        if info.issparse():
            raise _sparse(info.name)
        if not info.isfile() or _is_hidden(info.name):
            continue
        if beside.wants(info.name, info.size):
            file = archive.extractfile(info)
            beside.read(info.name, file.read() if file else b"")
        elif _is_wanted(info.name, partial(archive.extractfile, info), left_out):
            yield info
    # The library takes a file that ends inside a header for one that ends there.
    if archive.fileobj is not None:
        archive.fileobj.seek(archive.offset)
        if 0 < len(archive.fileobj.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends in the middle of a header")


def _slice(on: _On, offset: int, size: int) -> bytes:
    with on.open() as file:
        file.seek(offset)
        return file.read(size)


def _is_hidden(inner: str) -> bool:
    parts = PurePosixPath(inner).parts
    return any(part == "__MACOSX" or (part.startswith(".") and part != ".") for part in parts)


def _is_wanted(inner: str, open_member: Callable[[], IO[bytes] | None], left_out: LeftOut) -> bool:
    def head() -> bytes:
        try:
            file = open_member()
            return file.read(HEAD_BYTES) if file else b""
        except _DAMAGE:
            return b""

    return looks_like_an_archive(inner) or is_wanted(inner, head, left_out)


def _limit(name: str, count: int) -> None:
    if count > MOST_MEMBERS:
        raise UsageError(f"{name} has {count:,} pictures, more than {MOST_MEMBERS:,}: unpack it first")


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise UsageError(f"cannot read the archive {name}: {error}") from error
