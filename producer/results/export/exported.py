"""What every export has in common: a folder that camq writes as a whole, and long JSON lists written one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from producer.results.folder import EXPORTED
from producer.results.records import records
from producer.written_folder import WrittenFolder, written_in
from shared.contract import ImageRecord, ImageState, Options
from shared.errors import UsageError
from shared.ledger import RedisLedger
from shared.storage.port import ObjectStore


@dataclass(frozen=True, slots=True)
class Job:
    """A job that is exported, and where it is read from."""

    ledger: RedisLedger
    store: ObjectStore
    id: str
    threads: int = 8

    @property
    def options(self) -> Options:
        """The job's own."""
        return self.ledger.options(self.id)

    def records(self) -> Iterator[ImageRecord]:
        """Of every image, in the order of their indices."""
        return records(self.ledger, self.store, self.id, threads=self.threads)


@dataclass(slots=True)
class Exported:
    """How many images have a place in the export, and how many have no result.

    Of those that have a place: how many have no original or no heatmap, since storage did not give it.
    """

    images: int = 0
    left_out: int = 0
    no_original: int = 0
    no_heatmap: int = 0

    def has(self, record: ImageRecord) -> bool:
        """Whether the image has a result; it is counted."""
        found = record.state is ImageState.SUCCEEDED and bool(record.width and record.height)
        self.images += found
        self.left_out += not found
        return found


def folder_for(folder: Path, job: str, last: str) -> WrittenFolder:
    """The folder of an export, whose file `last` appears after all others. UsageError for one that has results."""
    if others := [name for name in written_in(folder) if not EXPORTED.fullmatch(name)]:
        raise UsageError(f"{folder} has results of camq's, such as {others[0]}: choose another folder for the export")
    return WrittenFolder(folder, job, EXPORTED, last=last)


def write_list(file: IO[bytes], items: Iterable[Any]) -> None:
    """A JSON list with an item on each line; one item is in memory."""
    file.write(b"[")
    for number, item in enumerate(items):
        file.write((",\n" if number else "\n").encode() + json.dumps(item, ensure_ascii=False).encode())
    file.write(b"\n]")
