"""Results as rows: CSV, Parquet and pandas say the same."""

import csv
import io
import sys

import msgspec
import pandas
import pytest
from pyarrow import parquet

from producer.results.table import COLUMNS, rows, to_pandas, write_csv, write_parquet
from shared.contract import ErrorInfo, ImageRecord, ImageState, PictureWarning, PredictionRecord
from shared.errors import CamqError


def prediction(rank: int, box: tuple[int, int, int, int] | None = (1, 2, 3, 4)) -> PredictionRecord:
    return PredictionRecord(
        rank=rank,
        class_index=rank * 10,
        label='salt, "sea"',
        probability=0.5,
        overlay=f"jobs/j/overlays/0-{rank}.jpg",
        box=box,
        map_min=-0.25,
        map_max=1.5,
        flat=box is None,
    )


RECORDS = [
    ImageRecord(
        index=0,
        source="a\nb.png",
        state=ImageState.SUCCEEDED,
        width=8,
        height=6,
        model="tiny@0",
        method="cam",
        predictions=(prediction(1), prediction(2, box=None)),
        warnings=(PictureWarning("bands", "5 bands"), PictureWarning("dark", "nearly black")),
    ),
    ImageRecord(index=1, source="b.png", state=ImageState.FAILED, error=ErrorInfo("empty", "b.png has no bytes")),
    ImageRecord(index=2, source="c.png", state=ImageState.QUEUED),
]


def test_there_is_a_row_for_each_prediction_and_one_for_an_image_without() -> None:
    """Every row has every column."""
    found = list(rows(RECORDS))

    assert [(row["index"], row["rank"], row["box_x0"], row["error_code"]) for row in found] == [
        (0, 1, 1, None),
        (0, 2, None, None),
        (1, None, None, "empty"),
        (2, None, None, None),
    ]
    assert all(list(row) == list(COLUMNS) for row in found)


def test_csv_is_read_back_as_it_was_written() -> None:
    """Commas, quotes and line ends in names and labels included; the file stays open."""
    file = io.BytesIO()
    write_csv(rows(RECORDS), file)

    found = list(csv.DictReader(io.StringIO(file.getvalue().decode(), newline="")))

    assert (found[0]["source"], found[0]["label"], found[0]["flat"]) == ("a\nb.png", 'salt, "sea"', "False")
    assert (found[2]["error_message"], found[2]["rank"]) == ("b.png has no bytes", "")


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@SUM(1).png", "\t=1.png", "\r=1.png"])
def test_a_name_is_no_formula_of_a_spreadsheet(name: str) -> None:
    """A stranger names the file; `raw` leaves it as it is, and numbers below zero stay numbers."""
    record = msgspec.structs.replace(RECORDS[0], source=name, id=name, name=name)

    def written(*, raw: bool) -> list[str]:
        file = io.BytesIO()
        write_csv(rows([record]), file, raw=raw)
        first = next(csv.DictReader(io.StringIO(file.getvalue().decode(), newline="")))
        return [first[column] for column in ("source", "id", "name", "map_min")]

    assert written(raw=False) == [f"'{name}"] * 3 + ["-0.25"]
    assert written(raw=True) == [name] * 3 + ["-0.25"]


def test_parquet_has_the_types_of_the_columns() -> None:
    """Numbers stay numbers, what is missing is null."""
    file = io.BytesIO()
    write_parquet(rows(RECORDS), file)

    table = parquet.read_table(io.BytesIO(file.getvalue()))

    assert {field.name: str(field.type) for field in table.schema} == {
        name: {"float64": "double"}.get(kind, kind) for name, kind in COLUMNS.items()
    }
    assert table.to_pylist() == list(rows(RECORDS))


def test_a_data_frame_has_missing_values_and_whole_numbers() -> None:
    """An index is no float only because a width is unknown."""
    frame = to_pandas(rows(RECORDS))

    assert frame["width"].dtype == "Int32"
    assert frame.loc[0, "class_index"] == 10
    assert pandas.isna(frame.loc[2, "label"])
    assert len(to_pandas(rows([]))) == 0


def test_pandas_reads_parquet_back_with_whole_numbers() -> None:
    """A failed image without rank makes no floats of the ranks of the others."""
    file = io.BytesIO()
    write_parquet(rows(RECORDS), file)

    frame = pandas.read_parquet(file)

    assert (frame["rank"].dtype, frame["class_index"].dtype, frame["flat"].dtype) == ("Int32", "Int32", "boolean")
    assert list(frame["rank"][:2]) == [1, 2]
    assert pandas.isna(frame.loc[2, "rank"])
    pandas.testing.assert_frame_equal(frame, to_pandas(rows(RECORDS)))


@pytest.mark.parametrize(("module", "function"), [("pyarrow", write_parquet), ("pandas", to_pandas)])
def test_a_library_that_is_missing_is_named(module: str, function: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs it."""
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(CamqError, match="pip install"):
        function(rows(RECORDS), *([io.BytesIO()] if module == "pyarrow" else []))  # type: ignore[operator]


def test_warnings_are_codes_separated_by_commas() -> None:
    """Empty for an image without."""
    assert [row["warnings"] for row in rows(RECORDS)] == ["bands,dark", "bands,dark", None, None]
