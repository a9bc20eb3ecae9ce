"""What camq writes into the folder of a download."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.written_folder import WrittenFolder, written_in
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


def results_folder(folder: Path, job: str) -> WrittenFolder:
    """Where the job's files are downloaded to; `results.jsonl` appears after all others.

    UsageError for the folder of an export, whose files nobody would know as camq's afterwards.
    """
    if others := [name for name in written_in(folder) if EXPORTED.fullmatch(name)]:
        raise UsageError(
            f"{folder} has an export of camq's, such as {others[0]}: choose another folder for the results"
        )
    return WrittenFolder(folder, job, NAMES, last=RESULTS)
