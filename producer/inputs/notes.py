"""What the user says of a picture: an id, what is right, and what else stands in its row of a table."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral

from shared.contract import MOST_PIXELS, Box, FieldValue
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
#: Columns that camq understands beside being carried: what is right, where it is, and which classes to explain.
LABEL_COLUMN, BOX_COLUMN, CLASSES_COLUMN = "label", "box", "classes"
#: Between two boxes of one picture, in a text.
_BETWEEN_BOXES = re.compile(r"[;|]")
MOST_BOXES = 1000

#: As the user says it: a class's name or index, or a list of them.
Labels = FieldValue | tuple[FieldValue, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a picture for the model that it is sent to: the classes and boxes that are right, one class or a
    list as the user gave it, and the classes to be explained in it."""

    classes: int | tuple[int, ...] | None = None
    boxes: tuple[Box, ...] = ()
    explained: tuple[int, ...] = ()


UNKNOWN = Truth()


@dataclass(frozen=True, slots=True)
class Notes:
    """`fields` are further columns, which results carry under the same names, `label`, `box` and `classes` among them;
    these stand here as the user wrote them, until `truth` has what they mean for a model."""

    id: str | None = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    label: Labels = None
    box: object = None
    classes: Labels = None
    truth: Truth | None = None


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
    if len(str(fields.get(names.get(BOX_COLUMN, ""), ""))) > LONGEST_FIELD:  # many boxes; results have them as truth
        del fields[names[BOX_COLUMN]]
    known = {name: cells[names[name]] for name in (LABEL_COLUMN, BOX_COLUMN, CLASSES_COLUMN) if name in names}
    notes = Notes(
        None if given in (None, "") else checked_id(given),
        checked_fields(fields),
        label=labels(known.get(LABEL_COLUMN)),
        box=known.get(BOX_COLUMN),
        classes=labels(known.get(CLASSES_COLUMN)),
    )
    return Row(cells[source], notes)


def labelled(label: object) -> Notes:
    """Of a picture whose label alone is known."""
    said = labels(label)
    return NOTHING if said is None else Notes(fields={LABEL_COLUMN: plain(label)}, label=said)


def labels(cell: object) -> Labels:
    """A cell with a label or several, which are numbers or texts; an empty one is None."""
    if isinstance(cell, Sequence) and not isinstance(cell, str | bytes):
        return tuple(_label(plain(each)) for each in cell)
    return _label(plain(cell))


def _label(value: FieldValue) -> FieldValue:
    """An index that a table with empty cells has made a float is a whole number again."""
    return int(value) if isinstance(value, float) and value.is_integer() else value if value != "" else None


def boxes(cell: object) -> tuple[Box, ...]:
    """The boxes that a cell means, rounded to whole pixels: `x0 y0 x1 y1` with spaces or commas, `;` between two; or
    lists of numbers. UsageError for anything else."""
    given: object = cell.tolist() if hasattr(cell, "tolist") else cell
    if given in (None, "") or given != given:  # noqa: PLR0124 - not a number: an empty cell of a data frame
        return ()
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.lstrip().startswith("[") else _BETWEEN_BOXES.split(given)
        except ValueError:
            raise _no_box(cell) from None
    if not isinstance(given, Sequence) or not given:
        raise _no_box(cell)
    each = [given] if not isinstance(given[0], Sequence) else given
    if len(each) > MOST_BOXES:
        raise UsageError(f"invalid box: {len(each):,} boxes of one picture, at most {MOST_BOXES} are kept")
    return tuple(_box(one, cell) for one in each)


def _box(one: object, cell: object) -> Box:
    numbers = [part for part in re.split(r"[,\s]+", one) if part] if isinstance(one, str) else one
    try:
        x0, y0, x1, y1 = (round(float(number)) for number in numbers)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        raise _no_box(cell) from None
    if not (-MOST_PIXELS <= x0 < x1 <= MOST_PIXELS and -MOST_PIXELS <= y0 < y1 <= MOST_PIXELS):
        raise _no_box(cell)
    return x0, y0, x1, y1


def _no_box(cell: object) -> UsageError:
    return UsageError(f"invalid box {str(cell)[:80]!r}: expected x0 y0 x1 y1 in pixels, x0 below x1 and y0 below y1")


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
