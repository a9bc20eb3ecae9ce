"""Manifests: tables that name pictures, as people have them: CSV of any delimiter, JSON, JSON lines, COCO, Parquet."""

import codecs
import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, AnyStr, BinaryIO, TypeVar

import msgspec

from producer.inputs.notes import Row, row_of, source_column
from shared.errors import UsageError

#: Every id is kept in memory while a manifest is checked, so that a repeated one is found.
MOST_PICTURES = 1_000_000
#: A line is read whole. A path has at most 4,096 bytes, but a picture may be written out in base64.
MOST_LINE_BYTES = 64 << 20
csv.field_size_limit(MOST_LINE_BYTES)
#: A JSON list is read whole.
MOST_LIST_BYTES = 256 << 20
#: Looked at to tell the kinds apart.
_HEAD = 4096
_DELIMITERS = ",;\t|"
_COCO = re.compile(r'\{\s*"(?:info|licenses|images|annotations|categories)"\s*:\s*[\[{]')
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
T = TypeVar("T")
#: A row's cells by column, and where it stands.
_Cells = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Iterates over the pictures that a file names, and opens it for each iteration; `name` is for messages.

    The pictures are in `column`, or in the one with a usual name; a column `id` has the user's own ids; all others are
    carried into results.
    """

    name: str
    open: Callable[[], BinaryIO]
    column: str | None = None

    def check(self) -> None:
        """Read it to its end. UsageError with file and line for what is wrong; it does not look for the pictures."""
        known: dict[str, str] = {}
        count = 0
        for count, (where, row) in enumerate(self._rows(), 1):
            given = row.notes.id
            if given is not None and (first := known.setdefault(given, where)) != where:
                raise UsageError(f"{self.name}, {where}: id {given!r} is already used on {first}")
            if count > MOST_PICTURES:
                raise UsageError(f"{self.name} has more than {MOST_PICTURES:,} pictures: split it into several jobs")
        if not count:
            raise UsageError(f"{self.name} has no pictures")

    def __iter__(self) -> Iterator[Row]:
        for _, row in self._rows():
            yield row

    def _rows(self) -> Iterator[tuple[str, Row]]:
        """Each picture and the line it stands on, counted from 1."""
        with self.open() as file:
            reader = _reader(file)
            source = None
            where = "line 1"
            try:
                for where, cells in reader:
                    source = source or source_column(list(cells), self.column)
                    if source not in cells:
                        raise UsageError(f"there is no {source!r} here; the columns are {', '.join(cells) or 'none'}")
                    picture = cells[source]
                    if not isinstance(picture, str) or not picture:
                        odd = "empty" if picture in ("", None) else f"{picture!r:.80}"
                        raise UsageError(f"the {source} is {odd}: expected a path or an address as text")
                    yield where, row_of(cells, source)
            except (UsageError, msgspec.MsgspecError, UnicodeError, csv.Error) as error:
                raise UsageError(f"{self.name}, {reader.where}: {error}") from error


class _Reader:
    """Gives a table's rows; `where` is the place that was looked at last."""

    where = "line 1"

    def __init__(self, file: Any) -> None:
        self.file = file

    def __iter__(self) -> Iterator[_Cells]:
        raise NotImplementedError


def _reader(file: BinaryIO) -> _Reader:
    head = file.read(_HEAD)
    file.seek(0)
    if head.startswith(b"PAR1"):
        return _Parquet(file)
    encoding = "utf-16" if head.startswith(_UTF16) else "utf-8-sig"
    text = head.decode(encoding, "ignore").lstrip()
    start = text[:1]
    if start == "[":
        return _JsonList(file)
    if _COCO.match(text):
        return _Coco(file)
    return _JsonLines(_text(file, encoding)) if start == "{" else _Csv(_text(file, encoding))


def _text(file: BinaryIO, encoding: str) -> Any:
    # A file name may have bytes that are no UTF-8; they come back when it is opened.
    errors = "strict" if encoding == "utf-16" else "surrogateescape"
    return io.TextIOWrapper(file, encoding, errors, newline="")


class _JsonLines(_Reader):
    """An object per line; empty lines are passed over."""

    def __iter__(self) -> Iterator[_Cells]:
        for number, line in enumerate(_lines(self.file), 1):
            self.where = f"line {number}"
            if text := line.strip():
                yield self.where, _object(msgspec.json.decode(text.encode("utf-8", "surrogateescape")))


class _JsonList(_Reader):
    """One list of objects."""

    def __iter__(self) -> Iterator[_Cells]:
        for number, entry in enumerate(self._whole(list), 1):
            self.where = f"entry {number}"
            yield self.where, _object(entry)

    def _whole(self, kind: type[T]) -> T:
        raw = self.file.read(MOST_LIST_BYTES + 1)
        if len(raw) > MOST_LIST_BYTES:
            raise UsageError(f"JSON of more than {MOST_LIST_BYTES:,} bytes: write JSON lines instead")
        encoding = "utf-16" if raw.startswith(_UTF16) else "utf-8-sig"
        return msgspec.json.decode(raw.decode(encoding), type=kind)


class _CocoImage(msgspec.Struct):
    id: int | str
    file_name: str


class _CocoAnnotation(msgspec.Struct):
    image_id: int | str
    category_id: int | None = None
    #: Left, top, width, height.
    bbox: tuple[float, float, float, float] | None = None


class _CocoCategory(msgspec.Struct):
    id: int
    name: str


class _CocoFile(msgspec.Struct):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation] = []
    categories: list[_CocoCategory] = []


class _Coco(_JsonList):
    """A file of COCO (https://cocodataset.org/#format-data): a row for each of its images, with the names of the
    categories in it, one or a list, and with its boxes."""

    def __iter__(self) -> Iterator[_Cells]:
        found = self._whole(_CocoFile)
        names = {category.id: category.name for category in found.categories}
        there: dict[int | str, list[_CocoAnnotation]] = defaultdict(list)
        for annotation in found.annotations:
            there[annotation.image_id].append(annotation)
        for number, image in enumerate(found.images, 1):
            self.where = f"image {number}"
            own = there[image.id]
            kinds = [each.category_id for each in own if each.category_id is not None]
            labels = list(dict.fromkeys(names[kind] for kind in kinds if kind in names))
            sides = [each.bbox for each in own if each.bbox]
            boxes = [(x, y, x + width, y + height) for x, y, width, height in sides]
            label = labels[0] if len(labels) == 1 else labels or None
            yield self.where, {"source": image.file_name, "label": label, "box": boxes or None}


class _Csv(_Reader):
    """A header, then a row per picture; between their fields a comma, a semicolon, a tab or a bar."""

    def __iter__(self) -> Iterator[_Cells]:
        lines: Iterator[str] = _lines(self.file)
        first: str = next(lines, "")
        delimiter = max(_DELIMITERS, key=first.count)  # of those that are not there, the comma
        reader = csv.reader(_and_then(first, lines), strict=True, delimiter=delimiter)
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) < len(header):
            twice = ", ".join(sorted({name for name in header if header.count(name) > 1}))
            raise UsageError(f"two columns have one name ({twice}): rename one")
        if not header or header == [""]:
            raise UsageError("expected the names of the columns, found none")
        self.where = f"line {max(1, reader.line_num)}"
        try:
            for row in reader:
                self.where = f"line {reader.line_num}"
                if row and len(row) != len(header):
                    raise UsageError(f"expected {len(header)} fields ({', '.join(header)}), found {len(row)}")
                if row:
                    yield self.where, dict(zip(header, row, strict=True))
        except csv.Error:
            self.where = f"line {reader.line_num}"
            raise


def _and_then(first: str, lines: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from lines


class _Parquet(_Reader):
    """Row by row, a few thousand in memory."""

    def __iter__(self) -> Iterator[_Cells]:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise UsageError("a Parquet table needs pyarrow: pip install 'camq[parquet]'") from error
        try:
            table = parquet.ParquetFile(self.file)  # type: ignore[no-untyped-call]
            number = 0
            for batch in table.iter_batches(batch_size=4096):  # type: ignore[no-untyped-call]
                for cells in batch.to_pylist():
                    number += 1
                    self.where = f"row {number}"
                    yield self.where, cells
        except (pyarrow.ArrowException, OSError) as error:
            raise UsageError(f"cannot read it as Parquet: {' '.join(str(error).split())[:200]}") from error


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"expected an object with a source, found a {type(value).__name__}")
    return value


def _lines(file: IO[AnyStr]) -> Iterator[AnyStr]:
    while line := file.readline(MOST_LINE_BYTES + 1):
        if len(line) > MOST_LINE_BYTES:
            raise UsageError(f"a line is longer than {MOST_LINE_BYTES:,} bytes")
        yield line
