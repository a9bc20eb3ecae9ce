"""What camq writes into the folder of a download, and how the files of one image are called there."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from producer.written_folder import WrittenFolder, written_in
from shared.contract import ImageRecord
from shared.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = "results.jsonl"
#: The page that `run` and `demo` write beside the downloaded overlays, and the demo's sheet.
REPORT, SHEET = "report.html", "contact-sheet.jpg"
NAMES = re.compile(
    r"overlays/[\w.-]+-\d+\.(jpg|webp|png)|(heatmaps|masks)/[\w.-]+-\d+\.png|maps/[\w.-]+\.npz"
    r"|results\.(jsonl|csv|parquet)|report\.html|contact-sheet\.jpg"
)
#: Names that an export has.
EXPORTED = re.compile(r"coco\.json|(metadata|samples)\.json|data/\d+(\.\w+)?|fields/heatmap/\d+\.png")
#: The ways of naming files.
NAMED_BY = ("index", "source")
#: A name has 255 bytes, and a letter four at most.
_LONGEST = 50
_ODD = re.compile(r"[^\w.-]+")


def results_folder(folder: Path, job: str) -> WrittenFolder:
    """Where the job's files are downloaded to; `results.jsonl` appears after all others.

    UsageError for the folder of an export, whose files nobody would know as camq's afterwards.
    """
    if others := [name for name in written_in(folder) if EXPORTED.fullmatch(name)]:
        raise UsageError(
            f"{folder} has an export of camq's, such as {others[0]}: choose another folder for the results"
        )
    return WrittenFolder(folder, job, NAMES, last=RESULTS)


class FileNames:
    """Gives each image a name that no other image of the job has, on any file system. Ask in the order of images."""

    def __init__(self, by: str) -> None:
        self._by_source = by == "source"
        self._given: set[str] = set()

    def stem(self, record: ImageRecord) -> str:
        """Such as `cat`, or `cat-17` where another picture was called so before."""
        if not self._by_source:
            return str(record.index)
        wanted = _plain(record.source)
        name, more = wanted, str(record.index)
        while name.casefold() in self._given:
            name, more = f"{wanted}-{more}", f"{more}-{record.index}"
        self._given.add(name.casefold())
        return name


def _plain(source: str) -> str:
    """The last part of a path or an address, without its suffix, in letters, digits, `.`, `-` and `_`."""
    last = PurePosixPath(unicodedata.normalize("NFC", source).replace("\\", "/")).stem
    return _ODD.sub("_", last)[:_LONGEST].strip(".") or "image"
