"""Results as a flat table: one row per prediction, and one for an image that has none. CSV, Parquet, pandas."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from shared.errors import CamqError
from shared.text import for_spreadsheet

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

    from shared.contract import ImageRecord, PredictionRecord, TruthRecord

#: Every column and its type in Parquet and pandas. What an image or a prediction does not have is empty; `fields`
#: are JSON; `name` and `tags` are the job's; tags and the codes of `warnings` are separated by commas, several labels
#: of `truth` by `|`.
COLUMNS = {
    "index": "int64",
    "source": "string",
    "state": "string",
    "width": "int32",
    "height": "int32",
    "model": "string",
    "method": "string",
    "engine": "string",
    "rank": "int32",
    "class_index": "int32",
    "label": "string",
    "probability": "float64",
    "overlay": "string",
    "box_x0": "int32",
    "box_y0": "int32",
    "box_x1": "int32",
    "box_y1": "int32",
    "map_min": "float64",
    "map_max": "float64",
    "flat": "bool",
    "error_code": "string",
    "error_message": "string",
    "id": "string",
    "fields": "string",
    "name": "string",
    "tags": "string",
    "truth": "string",
    "truth_rank": "int32",
    "truth_probability": "float64",
    "correct": "bool",
    "warnings": "string",
}
#: A column more, when overlays are given as addresses that a browser opens.
URL = {"url": "string"}
#: The same types as pandas calls them when a value may be missing.
_PANDAS = {"int64": "Int64", "int32": "Int32", "float64": "Float64", "bool": "boolean", "string": "string"}
#: Rows that one group of a Parquet file holds; as many are in memory.
_GROUP = 20_000

Row = dict[str, Any]


def rows(records: Iterable[ImageRecord]) -> Iterator[Row]:
    """The rows of every image, with the keys of `COLUMNS`."""
    for record in records:
        image: Row = dict.fromkeys(COLUMNS)
        for name in ("index", "source", "state", "width", "height", "model", "method", "engine"):
            image[name] = getattr(record, name)
        image |= {"state": str(record.state), "id": record.id or None, "name": record.name or None}
        image["tags"] = ",".join(record.tags) if record.tags else None
        image["warnings"] = ",".join(warning.code for warning in record.warnings) if record.warnings else None
        image["fields"] = json.dumps(record.fields, ensure_ascii=False) if record.fields else None
        if record.truth:
            image |= _truth(record.truth)
        if record.error:
            image |= {"error_code": record.error.code, "error_message": record.error.message}
        if not record.predictions:
            yield image
        for prediction in record.predictions:
            yield image | _prediction(prediction)


def write_csv(table: Iterable[Row], file: BinaryIO, columns: Iterable[str] = COLUMNS, *, raw: bool = False) -> None:
    """UTF-8, with a header; what is missing is an empty field.

    A text that a spreadsheet would take for a formula gets a `'` before it, unless `raw`.
    """
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    try:
        writer = csv.DictWriter(_UnixLines(text), list(columns))
        writer.writeheader()
        writer.writerows(table if raw else ({k: for_spreadsheet(v) for k, v in row.items()} for row in table))
    finally:
        text.detach()  # flushes, and leaves the file open for whoever opened it


class _UnixLines:
    """Lines that end in LF. Written with that ending, `csv` before Python 3.13 would not quote a lone CR."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.removesuffix("\r\n") + "\n")


def write_parquet(table: Iterable[Row], file: BinaryIO, columns: dict[str, str] = COLUMNS) -> None:
    """Group by group. CamqError without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise CamqError("Parquet needs pyarrow: pip install 'camq[parquet]'") from error
    types = {"bool": "bool_"}
    schema = pyarrow.schema(
        [(name, getattr(pyarrow, types.get(kind, kind))()) for name, kind in columns.items()],
        metadata={"pandas": _for_pandas(columns)},
    )
    table = iter(table)
    with parquet.ParquetWriter(file, schema) as writer:  # type: ignore[no-untyped-call]
        while group := list(islice(table, _GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))


def to_pandas(table: Iterable[Row]) -> DataFrame:
    """A data frame whose columns may hold missing values. CamqError without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise CamqError("a data frame needs pandas: pip install pandas") from error
    frame = pandas.DataFrame(list(table), columns=list(COLUMNS))
    return frame.astype({name: _PANDAS[kind] for name, kind in COLUMNS.items()})


def _for_pandas(columns: dict[str, str]) -> bytes:
    """The types that pandas reads a file's columns back with: by itself it makes floats of whole numbers where one is
    missing. https://pandas.pydata.org/docs/development/developer.html"""
    described = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": _PANDAS[kind], "metadata": None}
        for name, kind in columns.items()
    ]
    return json.dumps({"index_columns": [], "column_indexes": [], "columns": described}).encode()


def _truth(truth: TruthRecord) -> Row:
    if isinstance(truth.label, tuple):  # a rank and a probability for each of them do not fit into a cell
        return {"truth": "|".join(truth.label), "correct": truth.correct}
    columns = {"truth": truth.label, "truth_rank": truth.rank, "truth_probability": truth.probability}
    return {**columns, "correct": truth.correct}


def _prediction(line: PredictionRecord) -> Row:
    names = ("rank", "class_index", "label", "probability", "overlay", "map_min", "map_max", "flat")
    box = dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), line.box or (), strict=False))
    return {name: getattr(line, name) for name in names} | box
