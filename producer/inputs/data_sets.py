"""What holds many pictures in a Python program: mappings, data frames, data sets, lists of pairs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from producer.inputs.in_memory import described, is_encoded, is_one_picture
from producer.inputs.notes import LABEL_COLUMN, NOTHING, Notes, Row, checked_id, labelled, row_of, source_column
from shared.errors import UsageError


def items(given: Any, column: str | None = None) -> Iterable[Any]:
    """The single things that `given` stands for, each of which `Expansion` knows; the pictures of a table are in
    `column`, or in the one with a usual name. UsageError when it is no table and a column is named."""
    if _is_frame(given):
        return _frame(given, column)
    names = _label_names(given)
    if column is not None:
        return _named(given, column, names)
    if is_one_picture(given):
        return [given]
    if isinstance(given, Mapping):
        return [Row(picture, Notes(checked_id(key))) for key, picture in given.items()]
    if type(given).__name__ == "DataLoader":
        raise UsageError(f"{described(given)} gives batches: give its .dataset, camq makes batches itself")
    if not isinstance(given, Iterable):
        return _data_set(given) if hasattr(given, "__getitem__") and hasattr(given, "__len__") else [given]
    return given if names is None else (_called(item, names) for item in given)


def row_in(item: Any) -> Row | None:
    """The row that an item of a list is: a mapping with a picture's column, or a pair (picture, label)."""
    if is_encoded(item):  # by Hugging Face `datasets`, which has not read the file
        return Row(item["path"], NOTHING) if isinstance(item["path"], str) else None
    if isinstance(item, Mapping):
        return _cells(item, None)
    if isinstance(item, tuple) and len(item) == 2 and _is_label(item[1]):
        return Row(item[0], labelled(item[1]))
    return None


def _is_label(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(each, str | int) for each in value)
    return value is None or isinstance(value, str | int | float) or getattr(value, "ndim", None) == 0


def _is_frame(given: Any) -> bool:
    return hasattr(given, "columns") and (hasattr(given, "itertuples") or hasattr(given, "iter_rows"))


def _frame(frame: Any, column: str | None) -> Iterator[Row]:
    """The rows of a data frame of pandas or Polars."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise UsageError(f"{described(frame)} has two columns of one name: rename one of {', '.join(names[:20])}")
    source = source_column(names, column)
    rows = frame.itertuples(index=False, name=None) if hasattr(frame, "itertuples") else frame.iter_rows()
    return _once(row_of(dict(zip(names, row, strict=True)), source) for row in rows)


def _once(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows. UsageError for an id that stands there twice."""
    known: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row.notes.id is not None and (first := known.setdefault(row.notes.id, number)) != number:
            raise UsageError(f"row {number}: id {row.notes.id!r} is already used in row {first}")
        yield row


def _label_names(given: Any) -> list[str] | None:
    """The names of the labels of a data set of Hugging Face, whose rows have numbers of its own."""
    features = getattr(given, "features", None)
    names = getattr(features.get(LABEL_COLUMN), "names", None) if isinstance(features, Mapping) else None
    return names if isinstance(names, list) else None


def _called(item: Any, names: list[str] | None) -> Any:
    """The row with the name of its label in the place of the number."""
    label = item.get(LABEL_COLUMN) if names and isinstance(item, Mapping) else None
    return {**item, LABEL_COLUMN: names[label]} if names and type(label) is int and 0 <= label < len(names) else item


def _named(given: Any, column: str, names: list[str] | None) -> Iterator[Row]:
    """The rows of what gives one mapping per picture, such as a data set of Hugging Face."""
    if isinstance(given, Mapping) or not isinstance(given, Iterable) or is_one_picture(given):
        raise UsageError(f"{described(given)} has no columns: source_column goes with a data frame or rows")
    for item in given:
        if not isinstance(item, Mapping):
            raise UsageError(f"{described(item)} has no columns: source_column goes with a data frame or rows")
        yield _cells(_called(item, names), column)


def _cells(item: Mapping[Any, Any], column: str | None) -> Row:
    cells = {str(name): value for name, value in item.items()}
    return row_of(cells, source_column(list(cells), column))


def _data_set(given: Any) -> Iterator[Any]:
    """A data set that is read by position, such as torch's. Where it has names for its classes, so have the labels.

    Of torchvision's `ImageFolder` and its like the files themselves are taken: they are sent as they are, and the data
    set's transforms are not applied before the network's own.
    """
    samples, classes = getattr(given, "samples", None), getattr(given, "classes", None)
    pairs = samples if isinstance(samples, list) else (given[position] for position in range(len(given)))
    for pair in pairs:
        row = row_in(pair)
        if row is None or not isinstance(pair, tuple) or not isinstance(classes, list | tuple):
            yield pair
            continue
        label = row.notes.fields.get("label")
        if isinstance(label, int) and 0 <= label < len(classes):
            name = classes[label]
            label = str(name[0] if isinstance(name, tuple) and name else name)  # ImageNet's classes have several names
        yield Row(row.picture, labelled(label))
