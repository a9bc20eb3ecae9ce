"""What the user says of a picture: an id, and what else stands in its row of a table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral

from shared.contract import FieldValue
from shared.errors import UsageError

LONGEST_ID = 256
#: Fields travel with each picture and stand in each line of results.
MOST_FIELDS = 64
LONGEST_FIELD = 4096
#: Names under which tables have their pictures; `source`, the first, is taken before all others.
SOURCE_COLUMNS = (
    *("source", "path", "file", "filename", "file_name", "filepath", "file_path"),
    *("image", "image_path", "img", "img_path", "picture", "url", "uri"),
)
ID_COLUMN = "id"


@dataclass(frozen=True, slots=True)
class Notes:
    """`fields` are further columns, which results carry under the same names."""

    id: str | None = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)


NOTHING = Notes()


@dataclass(frozen=True, slots=True)
class Row:
    """One picture, as `Expansion` takes it, with its notes. A text is a path or an address, never a pattern."""

    picture: object
    notes: Notes


def checked_id(given: object) -> str:
    """The id; a whole number becomes its digits. UsageError when it is invalid."""
    if isinstance(given, Integral) and not isinstance(given, bool):
        return str(int(given))
    if not isinstance(given, str) or not 1 <= len(given) <= LONGEST_ID or not given.isprintable():
        raise UsageError(
            f"invalid image id {str(given)[:80]!r}: expected 1 to {LONGEST_ID} printable characters, or a whole number"
        )
    return given


def source_column(names: list[str], wanted: str | None) -> str:
    """The column with the pictures: the one wanted, or the one with a usual name. UsageError names the columns."""
    there = ", ".join(names[:20]) or "none"
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"there is no column {wanted!r}; the columns are {there}")
        return wanted
    known = [name for name in names if name.strip().lower() in SOURCE_COLUMNS]
    first = [name for name in known if name.strip().lower() == SOURCE_COLUMNS[0]]
    if len(first or known) != 1:
        found = f"{' and '.join(known)} could each be the pictures" if known else f"the columns are {there}"
        raise UsageError(
            f"{found}: name the column with the pictures (--source-column NAME, in Python source_column=)"
            + ("" if known else f", or call it {SOURCE_COLUMNS[0]}, {SOURCE_COLUMNS[1]}, file or image")
        )
    return (first or known)[0]


def row_of(cells: Mapping[str, object], source: str) -> Row:
    """A table's row. An empty id is none; an empty field is left out. UsageError for an invalid id or field."""
    names = {name.strip().lower(): name for name in cells if name != source}
    id_column = names.get(ID_COLUMN)
    given = None if id_column is None else plain(cells[id_column])
    fields = {
        name: value
        for name in cells
        if name not in (source, id_column) and (value := plain(cells[name])) not in (None, "")
    }
    notes = Notes(None if given in (None, "") else checked_id(given), checked_fields(fields))
    return Row(cells[source], notes)


def checked_fields(fields: Mapping[str, FieldValue]) -> Mapping[str, FieldValue]:
    """The fields. UsageError when they are too many or too long to be carried with each picture."""
    if len(fields) > MOST_FIELDS:
        raise UsageError(f"{len(fields)} columns beside the picture: at most {MOST_FIELDS} are carried; leave some out")
    for name, value in fields.items():
        if len(name) > LONGEST_FIELD or (isinstance(value, str) and len(value) > LONGEST_FIELD):
            raise UsageError(
                f"column {name[:80]!r} has {max(len(name), len(str(value))):,} characters: at most {LONGEST_FIELD:,}"
                " are carried; leave the column out"
            )
    return fields


def plain(value: object) -> FieldValue:
    """A cell as JSON has it: NumPy's numbers become Python's, a missing value None, anything else text."""
    if isinstance(value, str | bool | None):
        return value
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        value = item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral) and -(2**63) <= int(value) < 2**64:
        return int(value)
    text = str(value)
    return None if text in ("<NA>", "NaT") else text  # pandas' words for a missing value
