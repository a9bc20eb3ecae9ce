"""What holds many pictures in a Python program."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.datasets import FakeData, ImageFolder

from producer.inputs.data_sets import items
from producer.inputs.expand import Expansion
from producer.inputs.notes import LONGEST_FIELD, MOST_FIELDS
from producer.inputs.source import FileSource
from shared.errors import UsageError
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import picture

FRAME = pd.DataFrame(
    {
        "path": ["a.png", "b.png"],
        "label": [1, 2],
        "weight": [1.5, float("nan")],
        "taken": [pd.Timestamp("2026-01-02"), pd.NaT],
    }
)


@pytest.fixture(autouse=True)
def _pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "set/cat/1.png", "set/dog/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture())
    monkeypatch.chdir(tmp_path)


def notes(given: object) -> list[tuple[str, str | None, dict[str, Any]]]:
    sources = Expansion(given, store=MemoryStore)
    return [(source.name, source.notes.id, dict(source.notes.fields)) for source in sources]


def test_a_data_frame_gives_a_picture_per_row() -> None:
    """Never one per column. Further columns are carried on, what is missing is left out."""
    expected = [
        ("a.png", None, {"label": 1, "weight": 1.5, "taken": "2026-01-02 00:00:00"}),
        ("b.png", None, {"label": 2}),
    ]

    assert notes(FRAME) == expected
    assert notes(items(FRAME.rename(columns={"path": "x ray"}), "x ray")) == expected


def test_a_data_frames_ids_are_those_of_the_results() -> None:
    """Whole numbers, as most tables have them; twice the same is refused."""
    assert [found[1] for found in notes(FRAME.assign(id=[7, 8]))] == ["7", "8"]
    with pytest.raises(UsageError, match="row 1: id '7' is already used in row 0"):
        notes(FRAME.assign(id=[7, 7]))


class Polars:
    """As much of a Polars data frame as is used: this needs no third table library in the lock."""

    columns = ("file_name", "label")

    def iter_rows(self) -> Any:
        return iter([("a.png", "cat"), ("b.png", None)])


def test_a_polars_frame_is_read_as_well() -> None:
    """By its rows."""
    assert notes(Polars()) == [("a.png", None, {"label": "cat"}), ("b.png", None, {})]


@pytest.mark.parametrize(
    ("frame", "column", "says"),
    [
        (FRAME.rename(columns={"path": "x"}), None, r"the columns are x, label.*source_column=.*call it source"),
        (FRAME, "nope", "there is no column 'nope'; the columns are path, label"),
        (FRAME.assign(file="a.png"), None, "path and file could each be the pictures"),
        (pd.concat([FRAME, FRAME], axis=1), None, "two columns of one name"),
        (["a.png"], "path", "a str has no columns"),
        ("a.png", "path", "a str has no columns"),
        (FRAME.assign(text="x" * (LONGEST_FIELD + 1)), None, "column 'text' has 4,097 characters"),
        (FRAME.assign(**{f"c{n}": 1 for n in range(MOST_FIELDS)}), None, "columns beside the picture: at most 64"),
    ],
)
def test_a_table_that_cannot_be_read_names_its_columns(frame: Any, column: str | None, says: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UsageError, match=says):
        notes(items(frame, column))


def test_a_data_frame_in_a_list_names_the_way() -> None:
    """It is no picture."""
    with pytest.raises(UsageError, match=r"a pandas\.DataFrame is not an image: give the data frame alone"):
        notes([FRAME])


def test_source_is_taken_before_other_usual_names() -> None:
    """It is camq's own word."""
    assert [found[0] for found in notes(FRAME.assign(source=["b.png", "a.png"]))] == ["b.png", "a.png"]


class HuggingFace(list[Any]):
    """As much of a data set of Hugging Face as is used: rows, and features that know the names of labels."""

    features: ClassVar = {"image": object(), "label": SimpleNamespace(names=["cat", "dog"])}


def test_labels_of_a_hugging_face_data_set_have_its_names() -> None:
    """Its numbers are its own, and would be other classes of another model."""
    rows = HuggingFace({"image": picture(), "label": label} for label in (1, 0, -1))

    assert [fields.get("label") for _, _, fields in notes(rows)] == ["dog", "cat", -1]
    assert [fields.get("label") for _, _, fields in notes(items(rows, "image"))] == ["dog", "cat", -1]


def test_hugging_face_pictures_are_taken_read_or_not() -> None:
    """`datasets` keeps the bytes, or the path of a file on this machine, or both."""
    data = picture()
    found = [{"bytes": data, "path": "x.png"}, {"bytes": None, "path": "a.png"}, {"bytes": data, "path": None}]

    assert [name for name, _, _ in notes(found)] == ["x.png", "a.png", "image-2"]
    assert [name for name, _, _ in notes(found[0])] == ["x.png"]


def test_rows_of_a_data_set_carry_their_other_columns() -> None:
    """As iterating over one of Hugging Face gives them; a picture may be anything that is one."""
    rows = [{"image": Image.new("RGB", (3, 3)), "label": np.int64(3)}, {"image": {"bytes": picture(), "path": None}}]

    assert notes(rows) == [("image-0", None, {"label": 3}), ("image-1", None, {})]
    assert notes(items([{"x": "a.png", "n": True}], "x")) == [("a.png", None, {"n": True})]


def test_pairs_carry_their_labels() -> None:
    """In a list; a tuple by itself is a list of pictures."""
    pairs = [("a.png", 3), (Image.new("RGB", (3, 3)), "cat"), (picture(), torch.tensor(5)), ("b.png", None)]

    assert [found[2] for found in notes(pairs)] == [{"label": 3}, {"label": "cat"}, {"label": 5}, {}]
    assert notes(("a.png", "b.png")) == [("a.png", None, {}), ("b.png", None, {})]


def test_an_image_folder_gives_its_files_and_the_names_of_their_classes() -> None:
    """Its transforms are the network's, which workers apply: here they would raise."""
    folder = ImageFolder("set", transform=lambda _: 1 / 0)

    assert notes(folder) == [("set/cat/1.png", None, {"label": "cat"}), ("set/dog/2.png", None, {"label": "dog"})]
    assert all(isinstance(source, FileSource) for source in Expansion(folder, store=MemoryStore))


@pytest.mark.parametrize(
    ("data_set", "labels"),
    [
        (FakeData(3, (3, 8, 8), num_classes=1), [0, 0, 0]),
        (torch.utils.data.TensorDataset(torch.zeros(2, 3, 8, 8), torch.tensor([4, 5])), [4, 5]),
    ],
)
def test_any_data_set_of_pairs_is_read_by_position(data_set: Any, labels: list[int]) -> None:
    """It need not be iterable."""
    assert [found[2]["label"] for found in notes(data_set)] == labels


def test_a_data_sets_classes_name_its_labels() -> None:
    """As CIFAR10 has them, and ImageNet with several names per class; an index outside stays a number."""

    class Named:
        classes = ("plane", ("tench", "Tinca tinca"))

        def __len__(self) -> int:
            return 3

        def __getitem__(self, position: int) -> tuple[Image.Image, int]:
            return Image.new("RGB", (2, 2)), position

    assert [found[2]["label"] for found in notes(Named())] == ["plane", "tench", 2]


def test_a_mapping_may_have_whole_numbers_as_ids() -> None:
    """As pandas and databases do; a fraction is no id."""
    given = {1: "a.png", np.int64(2): io.BytesIO(picture()), "x": "b.png"}

    assert [found[1] for found in notes(given)] == ["1", "2", "x"]
    with pytest.raises(UsageError, match=r"invalid image id '1\.5'"):
        notes({1.5: "a.png"})


def test_a_row_that_is_no_single_picture_says_which() -> None:
    """A folder in a table is several."""
    with pytest.raises(UsageError, match="row 1: expected one picture, but 'set' is several pictures"):
        notes([{"path": "a.png"}, {"path": "set"}])
