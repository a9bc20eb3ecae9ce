"""Manifests: files that name pictures and their ids, as CSV or JSON lines."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, AnyStr, BinaryIO

import msgspec

from producer.inputs.notes import Notes, Row, checked_id
from shared.errors import UsageError

#: Every id is kept in memory while a manifest is checked, so that a repeated one is found.
MOST_PICTURES = 1_000_000
#: A path has at most 4,096 bytes, an id 256; a line is read whole.
MOST_LINE_BYTES = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    id: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Iterates over the pictures that a file names, and opens it for each iteration; `name` is for messages."""

    name: str
    open: Callable[[], BinaryIO]

    def check(self) -> None:
        """Read it to its end. UsageError with file and line for what is wrong; it does not look for the pictures."""
        known: dict[str, int] = {}
        for number, line in self._lines():
            first = known.setdefault(line.id, number)
            if first != number:
                raise UsageError(f"{self.name}, line {number}: id {line.id!r} is already used on line {first}")
            if len(known) > MOST_PICTURES:
                raise UsageError(f"{self.name} has more than {MOST_PICTURES:,} pictures: split it into several jobs")
        if not known:
            raise UsageError(f"{self.name} has no pictures")

    def __iter__(self) -> Iterator[Row]:
        for _, line in self._lines():
            yield Row(line.source, Notes(line.id))

    def _lines(self) -> Iterator[tuple[int, _Line]]:
        """Each picture and the line it stands on, counted from 1."""
        with self.open() as file:
            reader = _JsonLines(file) if _is_json(file) else _CsvLines(file)
            try:
                for line in reader:
                    checked_id(line.id)
                    if not line.source:
                        raise UsageError("the source is empty")
                    yield reader.line_num, line
            except (UsageError, msgspec.MsgspecError, UnicodeDecodeError, csv.Error) as error:
                raise UsageError(f"{self.name}, line {max(1, reader.line_num)}: {error}") from error


class _JsonLines:
    """An object per line with `source` and `id`; empty lines are passed over."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        #: As `csv.reader` counts.
        self.line_num = 0

    def __iter__(self) -> Iterator[_Line]:
        for line in _lines(self._file):
            self.line_num += 1
            text = line.removeprefix(_BYTE_ORDER_MARK).strip()
            if text:
                yield msgspec.json.decode(text, type=_Line)


class _CsvLines:
    """A header that names both columns, in any order, then a row per picture."""

    def __init__(self, file: BinaryIO) -> None:
        # A file name may have bytes that are no UTF-8; they come back when it is opened.
        text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
        self._reader = csv.reader(_lines(text), strict=True)

    @property
    def line_num(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> Iterator[_Line]:
        header = [name.strip() for name in next(self._reader, [])]
        if sorted(header) != ["id", "source"]:
            raise UsageError(f"expected the columns source and id, found {', '.join(header) or 'none'}")
        for row in self._reader:
            if row and len(row) != len(header):
                raise UsageError(f"expected a source and an id, found {len(row)} fields")
            if row:
                yield _Line(**dict(zip(header, row, strict=True)))


def _lines(file: IO[AnyStr]) -> Iterator[AnyStr]:
    while line := file.readline(MOST_LINE_BYTES + 1):
        if len(line) > MOST_LINE_BYTES:
            raise UsageError(f"a line is longer than {MOST_LINE_BYTES:,} bytes")
        yield line


def _is_json(file: BinaryIO) -> bool:
    start = file.read(io.DEFAULT_BUFFER_SIZE).removeprefix(_BYTE_ORDER_MARK)
    file.seek(0)
    return start.lstrip().startswith(b"{")
