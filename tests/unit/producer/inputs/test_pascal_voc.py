"""Ground truth as Pascal VOC has it: an XML file for each picture."""

from pathlib import Path

import pytest

from producer.cli.paths import all_of, given_pictures
from producer.inputs.notes import Row, boxes
from producer.inputs.pascal_voc import PascalVoc
from shared.errors import UsageError

#: As in VOC2012, shortened: a part has a name and a box of its own, which are not the object's.
ANNOTATION = """<annotation>
  <folder>VOC2012</folder><filename>{name}</filename>
  <size><width>500</width><height>375</height><depth>3</depth></size>
  <object><name>{first}</name><difficult>0</difficult>
    <bndbox><xmax>349</xmax><xmin>174</xmin><ymin>101</ymin><ymax>351</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part></object>
  <object><name>{second}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>500.0</xmax><ymax>375</ymax></bndbox></object>
</annotation>"""


def written(folder: Path, stem: str, text: str = "", **names: str) -> None:
    known = {"name": f"{stem}.jpg", "first": "person", "second": "person"}
    (folder / f"{stem}.xml").write_text(text or ANNOTATION.format(**known | names), "utf-8")


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    for name in ("Annotations", "JPEGImages"):
        (tmp_path / name).mkdir()
    return tmp_path / "Annotations"


def rows(folder: Path) -> list[Row]:
    found = PascalVoc(str(folder))
    found.check()
    return list(found)


def test_each_picture_has_its_labels_and_boxes(annotations: Path) -> None:
    """Pascal VOC counts pixels from 1, and its last ones lie inside; camq's x1 and y1 lie behind."""
    written(annotations, "b", second="Łódź & dog".replace("&", "&amp;"))
    written(annotations, "a")
    (annotations.parent / "JPEGImages" / "a.jpg").touch()

    for given in (annotations, annotations.parent):
        first, second = rows(given)
        assert first.picture == str(annotations.parent / "JPEGImages" / "a.jpg")
        assert second.picture == str(annotations.parent / "JPEGImages" / "b.jpg")
        assert (first.notes.label, second.notes.label) == ("person", ("person", "Łódź & dog"))
        assert boxes(first.notes.box) == ((173, 100, 349, 351), (0, 0, 500, 375))


def test_pictures_lie_in_the_usual_places(tmp_path: Path) -> None:
    """Beside the XML file, too; whatever path an annotation was written with, its last part is the name."""
    (tmp_path / "labels").mkdir()
    written(tmp_path / "labels", "a", name="C/somewhere/a.jpg")
    (tmp_path / "labels" / "a.jpg").touch()
    assert [row.picture for row in rows(tmp_path / "labels")] == [str(tmp_path / "labels" / "a.jpg")]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    assert [row.picture for row in rows(tmp_path / "labels")] == [str(tmp_path / "images" / "a.jpg")]


def test_a_picture_without_objects_has_no_truth(annotations: Path) -> None:
    """It is a picture all the same."""
    written(annotations, "a", "<annotation><filename>a.jpg</filename></annotation>")
    (row,) = rows(annotations)
    assert (row.notes.label, boxes(row.notes.box)) == (None, ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<annotation>", "a.xml: no element found"),
        ("<html></html>", "a.xml: expected <annotation> with a <filename>"),
        ("<annotation><filename> </filename></annotation>", "expected <annotation> with a <filename>"),
        (
            "<!DOCTYPE a [<!ENTITY b 'bbbb'>]><annotation><filename>&b;</filename></annotation>",
            "a.xml: it has a <!DOCTYPE>",
        ),
        (ANNOTATION.format(name="a.jpg", first="x", second="y").replace("349", "wide"), "could not convert string"),
        (f"<annotation>{' ' * (5 << 20)}</annotation>", "too large for the annotations of one picture"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(annotations: Path, text: str, says: str) -> None:
    """Before anything is submitted."""
    written(annotations, "a", text)
    with pytest.raises(UsageError, match=says):
        rows(annotations)


def test_a_folder_as_a_manifest_is_pascal_vocs(annotations: Path) -> None:
    """On the command line; one without annotations is refused."""
    written(annotations, "a")
    (row,) = all_of(given_pictures((), str(annotations)))
    assert isinstance(row, Row)
    assert row.notes.label == "person"
    with pytest.raises(UsageError, match="has no annotations: expected Pascal VOC"):
        given_pictures((), str(annotations.parent / "JPEGImages"))
