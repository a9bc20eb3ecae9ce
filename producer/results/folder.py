"""What camq writes into the folder of a download."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.written_folder import WrittenFolder

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = "results.jsonl"
#: The page that `run` and `demo` write beside the downloaded overlays, and the demo's sheet.
REPORT, SHEET = "report.html", "contact-sheet.jpg"
NAMES = re.compile(
    r"overlays/[\w.-]+-\d+\.(jpg|webp|png)|(heatmaps|masks)/[\w.-]+-\d+\.png|maps/[\w.-]+\.npz"
    r"|results\.(jsonl|csv|parquet)|report\.html|contact-sheet\.jpg"
)


def results_folder(folder: Path, job: str) -> WrittenFolder:
    """Where the job's files are downloaded to; `results.jsonl` appears after all others."""
    return WrittenFolder(folder, job, NAMES, last=RESULTS)
