"""Tables that fit: on a terminal by dropping what is least needed, in a pipe as wide as they are."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from shared.text import visible

if TYPE_CHECKING:
    from rich.box import Box
    from rich.table import Table as RichTable

#: A column that may be folded or cropped keeps so many characters, if it has them.
_NARROWED = 20
#: Between two columns.
_GAP = 2
#: Columns whose cells may go without the digest of each model.
_WITH_DIGEST = frozenset({"model", "models"})


class Table:
    """Rows under a head. `numbers` are aligned to the right, `fold` may be folded, `crop` cut off at its end, and all
    others stay whole on one line.

    On a terminal that is too narrow, empty columns go first, then the digests of models, then the columns of
    `drop`, the first of them first.
    """

    def __init__(
        self,
        *columns: str,
        numbers: Collection[str] = (),
        fold: Collection[str] = (),
        crop: Collection[str] = (),
        drop: Sequence[str] = (),
    ) -> None:
        self.columns = columns
        self.rows: list[tuple[str, ...]] = []
        self._numbers = numbers
        self._crop = crop
        self._soft = frozenset((*fold, *crop))
        self._drop = drop

    def add_row(self, *cells: str) -> None:
        """One cell for each column."""
        self.rows.append(cells)

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def fitted(self, width: int) -> RichTable:
        """For a terminal of so many columns."""
        from rich import box

        rows = self.rows
        shown = [name for name in self.columns if not rows or any(row[self.columns.index(name)] for row in rows)]
        if self._least(shown, rows) > width:
            rows = [tuple(_short(*pair) for pair in zip(self.columns, row, strict=True)) for row in rows]
        for name in self._drop:
            if self._least(shown, rows) > width and name in shown:
                shown.remove(name)
        return self._drawn(self._widths(shown, rows, width), rows, box.SIMPLE_HEAD)

    def wide(self) -> RichTable:
        """For a pipe: every column, one line for each row, and no line that is no row but the head."""
        return self._drawn(self._natural(self.columns, self.rows), self.rows, None)

    def _natural(self, shown: Iterable[str], rows: Sequence[Sequence[str]]) -> dict[str, int]:
        """Characters that each column would like to have."""
        from rich.cells import cell_len

        places = {name: self.columns.index(name) for name in shown}
        return {name: max(cell_len(text) for text in (name, *(row[n] for row in rows))) for name, n in places.items()}

    def _least(self, shown: Iterable[str], rows: Sequence[Sequence[str]]) -> int:
        """Characters that these columns take at least, together."""
        wished = self._natural(shown, rows)
        return sum(_GAP + (min(n, _NARROWED) if name in self._soft else n) for name, n in wished.items()) - _GAP

    def _widths(self, shown: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> dict[str, int]:
        """What the others leave is shared by those that may be narrowed, so that none wants while one has too much."""
        widths = self._natural(shown, rows)
        soft = sorted((name for name in shown if name in self._soft), key=lambda name: widths[name])
        rest = width - _GAP * (len(shown) - 1) - sum(n for name, n in widths.items() if name not in self._soft)
        for position, name in enumerate(soft):
            widths[name] = max(1, min(widths[name], rest // (len(soft) - position)))
            rest -= widths[name]
        return widths

    def _drawn(self, widths: Mapping[str, int], rows: Sequence[Sequence[str]], lines: Box | None) -> RichTable:
        from rich.table import Table as RichTable
        from rich.text import Text

        padding = (0, _GAP - (1 if lines else 0), 0, 0)  # the lines' own place between columns is one wide
        result = RichTable(box=lines, header_style="bold", show_edge=False, pad_edge=False, padding=padding)
        for name, width in widths.items():
            result.add_column(
                Text(name),
                width=width,
                justify="right" if name in self._numbers else "left",
                overflow="ellipsis" if name in self._crop else "fold",
                no_wrap=name in self._crop,
            )
        for row in rows:
            result.add_row(*(Text(row[self.columns.index(name)]) for name in widths))
        return result


def _short(column: str, cell: str) -> str:
    if column not in _WITH_DIGEST:
        return cell
    return ", ".join(model.partition("@")[0] for model in cell.split(", "))


def show(table: Table) -> None:
    """The table on stdout, without padding behind its lines."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console() if terminal else Console(width=100_000, color_system=None)
    with console.capture() as text:
        console.print(table.fitted(console.width) if terminal else table.wide(), soft_wrap=not terminal)
    lines = [line.rstrip() for line in text.get().splitlines()]
    click.echo("\n".join(line for line in lines if line))


def cell(value: object) -> str:
    """A table cell that is shown as it is: nothing in a file's name moves the cursor."""
    return visible("" if value is None else str(value))
