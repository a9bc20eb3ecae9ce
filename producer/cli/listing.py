"""Results for people: the first images in a table, and why others failed; for programs line by line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from producer.cli.common import emit, say
from producer.cli.tables import Table, cell, show
from producer.formatting import count

if TYPE_CHECKING:
    from shared.contract import ImageRecord

#: A terminal shows so many images; a pipe, a file and --json get all of them.
_ROWS_ON_A_TERMINAL = 20


def print_results(found: Iterable[ImageRecord], *, as_json: bool, every: str) -> None:
    """Each record as a line of JSON, or all in a table. A terminal gets the first ones, the failures of all by their
    code, and `every`: where to see every image."""
    if as_json:
        for record in found:
            emit(record)
        return
    rows = Table(
        "image", "source", "state", "what it shows", numbers=["image"], fold=["source"], crop=["what it shows"]
    )
    terminal = sys.stdout.isatty()
    failures: Counter[str] = Counter()
    first: dict[str, str] = {}
    total = 0
    for total, record in enumerate(found, 1):
        if not terminal or total <= _ROWS_ON_A_TERMINAL:
            rows.add_row(*map(cell, (record.index, _called(record), record.state, _said(record))))
        if record.error:
            failures[record.error.code] += 1
            first.setdefault(record.error.code, f"{record.index} {_called(record)}: {record.error.message}")
    show(rows)
    if total > rows.row_count:
        say(f"… and {count(total - rows.row_count, 'more image')}; all of them:\n  {every}")
    if terminal and failures:
        show(_by_code(failures, first))


def _by_code(failures: Counter[str], first: dict[str, str]) -> Table:
    rows = Table("failed", "images", "the first of them", numbers=["images"], fold=["the first of them"])
    for code, images in failures.most_common():
        rows.add_row(*map(cell, (code, f"{images:,}", first[code])))
    return rows


def _called(record: ImageRecord) -> str:
    """Its source, and the user's own id where there is one."""
    return f"{record.source} ({record.id})" if record.id else record.source


def _said(record: ImageRecord) -> str:
    """The labels with probabilities, or why the image failed."""
    if record.error:
        return f"{record.error.code}: {record.error.message}"
    return ", ".join(f"{p.label} {p.probability:.1%}" for p in record.predictions)
