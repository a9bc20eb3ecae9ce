"""Results as a table for people, with failures by code, or as JSON lines for programs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from producer.cli.common import emit, say
from producer.cli.tables import Table, cell, show
from producer.formatting import count, share

if TYPE_CHECKING:
    from shared.contract import ImageRecord

#: The number of images shown on a terminal; a pipe, a file and --json get all.
_ROWS_ON_A_TERMINAL = 20


def print_results(found: Iterable[ImageRecord], *, as_json: bool, every: str) -> None:
    """Print each record as a line of JSON, or all in a table.

    A terminal gets the first records, the failures of all by code, and `every`, a hint how to see all images.
    """
    drawn = _Drawn()
    if as_json:
        for record in drawn.counting(found):
            emit(record)
        drawn.say()
        return
    rows = Table("image", "source", "state", "prediction", numbers=["image"], fold=["source"], crop=["prediction"])
    terminal = sys.stdout.isatty()
    failures: Counter[str] = Counter()
    first: dict[str, str] = {}
    total = 0
    for total, record in enumerate(drawn.counting(found), 1):
        if not terminal or total <= _ROWS_ON_A_TERMINAL:
            rows.add_row(*map(cell, (record.index, _name_of(record), record.state, _prediction(record))))
        if record.error:
            failures[record.error.code] += 1
            first.setdefault(record.error.code, f"{record.index} {_name_of(record)}: {record.error.message}")
    show(rows)
    if total > rows.row_count:
        say(f"… and {count(total - rows.row_count, 'more image')}; to see all:\n  {every}")
    if terminal and failures:
        show(_by_code(failures, first))
    drawn.say()


class _Drawn:
    """How many pictures were drawn, of a job that was to draw only some of them."""

    def __init__(self) -> None:
        self._drawn = self._classified = 0

    def counting(self, found: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
        """The same records, counted as they pass."""
        for record in found:
            self._classified += bool(record.predictions)
            self._drawn += any(line.overlay for line in record.predictions)
            yield record

    def say(self) -> None:
        """On stderr, where some were not."""
        if self._drawn < self._classified:
            say(f"drawn: {self._drawn:,} of {count(self._classified, 'classified image')}")


def _by_code(failures: Counter[str], first: dict[str, str]) -> Table:
    rows = Table("failed", "images", "first failure", numbers=["images"], fold=["first failure"])
    for code, images in failures.most_common():
        rows.add_row(*map(cell, (code, f"{images:,}", first[code])))
    return rows


def _name_of(record: ImageRecord) -> str:
    """Its source, and the user's own id if there is one."""
    return f"{record.source} ({record.id})" if record.id else record.source


def _prediction(record: ImageRecord) -> str:
    """The labels with probabilities, or why the image failed."""
    if record.error:
        return f"{record.error.code}: {record.error.message}"
    said = ", ".join(f"{p.label} {share(p.probability)}" for p in record.predictions)
    return f"{said} (warning: {', '.join(one.code for one in record.warnings)})" if record.warnings else said
