"""What a .tar in WebDataset's format has beside a picture: `7.jpg`, `7.cls`, `7.json` are one sample.

https://github.com/webdataset/webdataset#the-webdataset-format
"""

import json
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath

from producer.inputs.left_out import LeftOut
from producer.inputs.notes import (
    BOX_COLUMN,
    CLASSES_COLUMN,
    LABEL_COLUMN,
    LONGEST_FIELD,
    MOST_FIELDS,
    NOTHING,
    Notes,
    labels,
    plain,
)
from shared.contract import FieldValue

#: A class's name or index, and a description of one picture, are short.
MOST_BYTES = 1 << 16
#: Of all of them in one archive, which are kept until its last picture is read.
MOST_BYTES_IN_ALL = 256 << 20
#: A label, and a description with names.
SUFFIXES = (".cls", ".json")
_Cells = dict[str, object]


class Beside:
    """Collects labels and descriptions by the sample that they belong to: the name up to the first dot of the file."""

    def __init__(self) -> None:
        self._cells: dict[str, _Cells] = {}
        self._names: dict[str, list[str]] = {}
        self._bytes = 0

    def wants(self, name: str, size: int) -> bool:
        """Whether a file may say something of a picture."""
        return name.lower().endswith(SUFFIXES) and size <= MOST_BYTES

    def read(self, name: str, data: bytes) -> None:
        """A file that may. What is not readable as what it is called says nothing. ReadError for too many."""
        self._bytes += len(name) + len(data)
        if self._bytes > MOST_BYTES_IN_ALL:
            raise tarfile.ReadError(
                f"its labels and descriptions (.cls, .json) have more than {MOST_BYTES_IN_ALL:,} bytes: split it, or"
                " write them into a table (--manifest)"
            )
        sample = _sample(name)
        self._names.setdefault(sample, []).append(name)
        try:
            text = data.decode("utf-8").strip()
            found = {LABEL_COLUMN: text} if name.lower().endswith(".cls") else json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(found, dict):
            self._cells.setdefault(sample, {}).update(found)

    def without_pictures(self, pictures: list[str], left_out: LeftOut) -> None:
        """Forget those that stand beside no picture, and count them as left out."""
        for sample in self._names.keys() - set(map(_sample, pictures)):
            for name in self._names.pop(sample):
                left_out.file(name)

    def notes(self, picture: str) -> Notes:
        """What is said of a picture."""
        cells = self._cells.get(_sample(picture))
        if not cells:
            return NOTHING
        return Notes(
            fields=_carried(cells),
            label=labels(cells.get(LABEL_COLUMN)),
            box=cells.get(BOX_COLUMN),
            classes=labels(cells.get(CLASSES_COLUMN)),
        )


def _sample(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent / path.name.partition(".")[0])


def _carried(cells: Mapping[str, object]) -> dict[str, FieldValue]:
    """As many as results carry, without those that are too long: nobody can leave a column out of a shard."""
    found: dict[str, FieldValue] = {}
    for name, cell in cells.items():
        value = plain(cell)
        if value not in (None, "") and len(name) <= LONGEST_FIELD and len(str(value)) <= LONGEST_FIELD:
            found[name] = value
    return dict(list(found.items())[:MOST_FIELDS])
