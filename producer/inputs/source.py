"""One image as the user gave it: what it is called, and how to get its bytes."""

import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from producer.inputs.notes import NOTHING, Notes
from shared.errors import CamqError, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

#: What the system answers, as a code; anything else is `unavailable`: a failing disk, a server that is away.
_CODES = dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR), "not_found")
_CODES |= dict.fromkeys((errno.EACCES, errno.EPERM), "denied")
#: Modes that a PNG, or else a TIFF, keeps as they are; what neither does becomes RGB.
_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_TIFF_MODES = frozenset({"CMYK", "F", "I", "LAB", "YCbCr"})
#: Of the number of a page.
_MOST_DIGITS = 9
#: Pillow loads a picture when it is first looked at, and two threads must not do so at once.
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True, slots=True)
class Source:
    """An image of a job; `name` is where the user has it, `notes` what the user says of it.

    `page` is the page or frame that the user named behind the file, as in `scan.tif#2`; the name keeps it.
    """

    name: str
    notes: Notes = field(default=NOTHING, kw_only=True)
    page: int | None = field(default=None, kw_only=True)

    @property
    def path(self) -> str:
        """The name without the page."""
        return self.name if self.page is None else self.name.rpartition("#")[0]

    def read(self, limit: int) -> bytes:
        """The file's bytes. ImageError when there are none, or more than `limit`."""
        raise NotImplementedError

    @property
    def held(self) -> int:
        """Bytes of data that the source itself keeps in memory, so that few such may wait at once."""
        return 0


@dataclass(frozen=True, slots=True)
class FileSource(Source):
    """A file; its path is its name."""

    def read(self, limit: int) -> bytes:
        """At most one byte more than the limit is read."""
        try:
            path = Path(self.path)
            if path.exists() and not path.is_file():
                raise ImageError("not_found", f"{self.name} is not a regular file")  # a pipe would block for ever
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > limit:
                    raise _too_large(self.name, limit)
                return checked(self.name, file.read(limit + 1), limit)
        except (OSError, ValueError) as error:
            raise unreadable(self.name, error) from error


@dataclass(frozen=True, slots=True)
class BytesSource(Source):
    """Bytes in memory."""

    data: bytes

    @property
    def held(self) -> int:
        """All of them."""
        return len(self.data)

    def read(self, limit: int) -> bytes:
        """The same bytes."""
        return checked(self.name, self.data, limit)


@dataclass(frozen=True, slots=True)
class LazySource(Source):
    """Bytes that are made when they are needed, of something that keeps about `size` bytes in memory."""

    make: Callable[[], bytes]
    size: int

    @property
    def held(self) -> int:
        """What it is made of."""
        return self.size

    def read(self, limit: int) -> bytes:
        """The bytes, made again by each call."""
        try:
            data = self.make()
        except CamqError:
            raise
        except Exception as error:  # objects of other libraries raise whatever they trip over; this picture fails alone
            reason = str(error) or f"{type(error).__name__}; was it closed?"
            raise ImageError("truncated", f"{self.name} cannot be read completely: {reason}") from error
        return checked(self.name, data, limit)


@dataclass(frozen=True, slots=True)
class FailedSource(Source):
    """What is known to be unreadable, such as a named file that is not there: it fails alone."""

    reason: str
    code: str = "not_found"

    def read(self, limit: int) -> bytes:  # noqa: ARG002 - there is nothing to limit
        """Always an ImageError."""
        raise ImageError(self.code, self.reason)


@dataclass(frozen=True, slots=True)
class ObjectSource(Source):
    """An object that is read in place; its address is its name."""

    size: int

    def check(self, limit: int) -> None:
        """ImageError for a size that no picture can have, or that is above the limit."""
        check_size(self.name, self.size, limit)


def split_page(name: str) -> tuple[str, int | None]:
    """A file and its page of what may be written `FILE#n`; None where no page is named.

    Pages count from 1; a picture of page 0 fails when it is uploaded.
    """
    file, _, number = name.rpartition("#")
    is_page = file and number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS
    return (file, int(number)) if is_page else (name, None)


def with_page(source: Source, page: int) -> Source:
    """That page of the same file."""
    return replace(source, name=f"{source.name}#{page}", page=page)


def unreadable(name: str, error: OSError | ValueError) -> ImageError:
    """The failure of a file that cannot be opened or read."""
    code = _CODES.get(error.errno or 0, "unavailable") if isinstance(error, OSError) else "not_found"
    return ImageError(code, f"cannot read {name}: {getattr(error, 'strerror', None) or error}")


def encode_picture(image: "Image") -> bytes:
    """A PIL picture as a file, without loss and with its orientation."""
    buffer = io.BytesIO()
    with _ONE_AT_A_TIME:
        exif = image.getexif()
        if image.mode in _TIFF_MODES:
            image.save(buffer, "TIFF", exif=exif)
        else:
            kept = image if image.mode in _PNG_MODES else image.convert("RGB")
            kept.save(buffer, "PNG", exif=exif, compress_level=1)
    return buffer.getvalue()


def printable(name: str) -> str:
    """A file name as text that can be stored: bytes that are no UTF-8 are written as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def checked(name: str, data: bytes, limit: int) -> bytes:
    """`data`, unless it is empty or larger than the limit."""
    check_size(name, len(data), limit)
    return data


def check_size(name: str, size: int, limit: int) -> None:
    """ImageError for a size that no picture can have, or that is above the limit."""
    if not size:
        raise ImageError("empty", f"{name} has no bytes")
    if size > limit:
        raise _too_large(name, limit)


def _too_large(name: str, limit: int) -> ImageError:
    return ImageError("too_large", f"{name} is larger than {limit} bytes, the limit CAMQ_MAX_IMAGE_BYTES")
