"""Ground truth: which classes of a model the labels of pictures mean, and what is said of those that mean none."""

import weakref
from typing import Any

import pytest
from msgspec.structs import replace

from producer.inputs.notes import NOTHING, Notes, Truth, boxes, row_of
from producer.inputs.source import BytesSource, FileSource, ObjectSource
from producer.inputs.urls.fetch import picture_at
from producer.submission.expected import Expected
from shared.checks.classes import MOST_HINTS
from shared.contract import Options
from shared.errors import UsageError
from tests.support.jobs.scripted_worker import CARD

MANY = replace(CARD, outputs="sigmoid")


def truth(cells: dict[str, Any], *, card: Any = CARD, asked: Any = "labels") -> Truth | None:
    notes = row_of({"source": "a.jpg", **cells}, "source").notes
    return Expected(card, asked, Options())(FileSource("a.jpg", notes=notes)).notes.truth


@pytest.mark.parametrize(
    ("label", "classes"),
    [("tabby", 2), ("Tabby", 2), ("2", 2), (2, 2), (2.0, 2), (["tabby"], (2,)), ("salt, sea", 6), ("sea", 6)],
)
def test_a_label_becomes_a_class_of_the_model(label: object, classes: object) -> None:
    """By name or index; an index that a table with gaps has made a float is one as well."""
    assert truth({"Label": label}) == Truth(classes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ("tabby|tench", (2, 0)),
        ("tench; goldfish", (0, 1)),
        (["tench", 1, 0], (0, 1)),
        ("salt, sea", 6),
        ([], ()),
    ],
)
def test_a_model_of_sigmoid_outputs_has_several_labels(label: object, classes: object) -> None:
    """A list, or a text with `|` or `;`; an empty list says that none is there."""
    assert truth({"label": label}, card=MANY) == Truth(classes)  # type: ignore[arg-type]


def test_a_picture_without_a_label_has_no_truth() -> None:
    """An empty cell is none, and nothing is copied."""
    source = FileSource("a.jpg", notes=row_of({"source": "a.jpg", "label": "", "box": None}, "source").notes)

    assert Expected(CARD, "labels", Options())(source) is source


def test_who_did_not_think_of_a_folder_as_a_label_is_told_where_it_came_from() -> None:
    """A picture that lies right in the folder that was given; a label of a table needs no such hint."""
    hint = "--truth folders takes the folder that a picture lies in for its class"
    with pytest.raises(UsageError, match=rf"no class 'photos'.*{hint}"):
        Expected(CARD, "folders", Options())(BytesSource("photos/1.jpg", b"x"))
    with pytest.raises(UsageError) as caught:
        Expected(CARD, "labels", Options())(BytesSource("1.jpg", b"x", notes=Notes(label="photos")))
    assert hint not in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"label": "lion"}, r"^a\.jpg: tiny@0123456789ab has no class 'lion'"),
        ({"label": "crane"}, r"^a\.jpg: class 'crane' is ambiguous: use one of the indices 4, 5"),
        ({"label": "tench|tabby"}, "2 labels of one picture, but .* chooses exactly one class"),
        ({"label": "tench", "box": "1 2 3"}, "invalid box '1 2 3': expected x0 y0 x1 y1 in pixels"),
        ({"label": "tench", "box": "5 2 3 9"}, "x0 below x1"),
        ({"label": "tench", "box": "0 0 1e30 1e30"}, "invalid box '0 0 1e30 1e30'"),
    ],
)
def test_what_does_not_fit_is_refused_where_truth_was_asked_for(cells: dict[str, Any], says: str) -> None:
    """Else it stays among the fields, and one sentence counts it."""
    with pytest.raises(UsageError, match=says):
        truth(cells)

    expected = Expected(CARD, None, Options())
    sources = [FileSource(f"{n}.jpg", notes=row_of({"source": "x", **cells}, "source").notes) for n in range(3)]
    found = [expected(source).notes for source in sources]

    assert all(notes.fields == {name: str(cell) for name, cell in cells.items()} for notes in found)
    assert expected.left.startswith(
        "labels or boxes that do not fit tiny@0123456789ab: 3. They are kept under `fields`"
    )
    assert "0.jpg: " in expected.left


def test_labels_that_do_not_fit_cost_little_however_many_there_are() -> None:
    """A column `label` may hold captions. Labels that look alike are looked for a few times, and nothing is kept of a
    picture but its label: the same misfit again and again keeps no picture in memory."""
    expected = Expected(CARD, None, Options())
    picture = FileSource("a.jpg", notes=Notes(label="lion"))
    gone = weakref.ref(_fitted(expected, "lion"))
    _fitted(expected, "lion")

    assert gone() is None
    strict, said = Expected(CARD, "labels", Options()), []
    for number in range(MOST_HINTS + 4):  # before "tabby"
        with pytest.raises(UsageError) as caught:
            _fitted(strict, f"tabb{chr(ord('a') + number)}")
        said.append("did you mean tabby" in str(caught.value))
    assert said[0]
    assert not any(said[MOST_HINTS:])
    assert expected(picture).notes.truth == Truth()


def _fitted(expected: Expected, label: str) -> Any:
    """What `Expected` was given, once it has answered."""

    class Marked(FileSource):
        __slots__ = ("__weakref__",)

    source = Marked("a.jpg", notes=Notes(label=label))
    expected(source)
    return source


def test_classes_of_a_picture_must_be_classes() -> None:
    """Whether or not ground truth was asked for: another map than the one asked for would be a wrong answer."""
    assert truth({"classes": 'tabby,"salt, sea",0'}) == Truth(explained=(2, 6, 0))
    assert truth({"classes": [1, "tench"]}) == Truth(explained=(1, 0))
    with pytest.raises(UsageError, match=r"a\.jpg: .* no class 'lion'.* The column `classes` says which classes"):
        truth({"classes": "lion"}, asked=None)


@pytest.mark.parametrize(
    ("name", "classes"), [("x/tabby/1.jpg", 2), ("a.zip/tench/1.jpg", 0), ("s3://b/p/Goldfish/1.jpg", 1)]
)
def test_the_folder_is_the_label(name: str, classes: int) -> None:
    """Of a file, in an archive, in a bucket."""
    source = BytesSource(name, b"x")

    assert Expected(CARD, "folders", Options())(source).notes.truth == Truth(classes)
    assert Expected(CARD, "labels", Options())(source) is source


def test_the_folder_one_is_in_is_a_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `cd tabby; camq run *.jpg --truth folders`. A label in a table goes before it."""
    (tmp_path / "tabby").mkdir()
    monkeypatch.chdir(tmp_path / "tabby")
    expected = Expected(CARD, "folders", Options())

    assert expected(FileSource("1.jpg")).notes.truth == Truth(2)
    assert expected(FileSource("1.jpg", notes=Notes(label="tench"))).notes.truth == Truth(0)
    assert expected(picture_at("https://example.org/tabby/1.jpg", private=True)).notes.truth == Truth(2)
    assert expected(ObjectSource("s3://photos/tabby/1.jpg", 9)).notes.truth == Truth(2)
    no_folder = (
        BytesSource("data:image/png;base64,iVBO…", b"x"),
        picture_at("https://tabby/1.jpg", private=True),
        ObjectSource("s3://tabby/1.jpg", 9),  # a bucket is no class
    )
    for source in no_folder:
        assert expected(source).notes is NOTHING


def test_truth_that_no_picture_has_is_refused() -> None:
    """Asked for, or to be explained; the sentence says how to give it."""
    source = FileSource("a.jpg")
    for asked, options, says in (
        ("labels", Options(), "--truth labels: no picture has a label"),
        (None, Options(explain="truth"), "--explain truth: no picture has a label .* --truth folders"),
    ):
        expected = Expected(CARD, asked, options)  # type: ignore[arg-type]
        expected(source)
        with pytest.raises(UsageError, match=says):
            expected.check_some()
    expected = Expected(CARD, None, Options())
    expected(source)
    expected.check_some()


@pytest.mark.parametrize(
    "cell",
    ["1 2 30 40", "1,2,30,40", "[1, 2, 30, 40]", "1.2 1.9 30.0 40.4", [1, 2, 30, 40], [[1, 2, 30, 40]], "1 2 30 40;"],
)
def test_a_box_is_four_numbers(cell: object) -> None:
    """In whatever form a table has them."""
    if cell == "1 2 30 40;":
        with pytest.raises(UsageError, match="invalid box"):
            boxes(cell)
    else:
        assert boxes(cell) == ((1, 2, 30, 40),)


def test_several_boxes_stand_in_one_cell() -> None:
    """One picture may show several things."""
    both = ((0, 0, 5, 5), (1, 2, 30, 40))

    assert (
        boxes("0 0 5 5; 1 2 30 40") == boxes("[[0,0,5,5],[1,2,30,40]]") == boxes([[0, 0, 5, 5], [1, 2, 30, 40]]) == both
    )
    assert boxes(None) == boxes("") == boxes(float("nan")) == ()
