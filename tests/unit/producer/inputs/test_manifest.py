"""A file that names pictures and ids: what is read, and how a fault is told."""

import io
import json
import os
import sys
from functools import partial

import pandas
import pytest

from producer.inputs import manifest
from producer.inputs.manifest import Manifest
from producer.inputs.notes import boxes
from shared.errors import UsageError


def read(data: bytes) -> list[tuple[str, object]]:
    found = Manifest("list", partial(io.BytesIO, data))
    found.check()
    return [(item.notes.id, item.picture) for item in found]


@pytest.mark.parametrize(
    "data",
    [
        b"source,id\na b.jpg,1\ns3://in/b.jpg,2\n",
        b"id, source\r\n1,a b.jpg\r\n\r\n2,s3://in/b.jpg",
        b'\xef\xbb\xbfsource,id\n"a b.jpg","1"\ns3://in/b.jpg,2\n',
        b'{"source": "a b.jpg", "id": "1"}\n\n{"id": "2", "source": "s3://in/b.jpg"}\n',
        b'\xef\xbb\xbf\n{"source": "a b.jpg", "id": "1"}\r\n{"id": "2", "source": "s3://in/b.jpg"}',
    ],
)
def test_both_formats_say_the_same(data: bytes) -> None:
    """Columns in any order, quoted or not, empty lines and a byte order mark passed over."""
    assert read(data) == [("1", "a b.jpg"), ("2", "s3://in/b.jpg")]


def test_a_name_that_is_no_utf8_is_the_name_of_its_file() -> None:
    """As a shell would have given it."""
    ((_, name),) = read(b"source,id\nca\xff.jpg,1\n")

    assert os.fsencode(str(name)) == b"ca\xff.jpg"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"source,id\na.jpg,1\nb.jpg,2\nc.jpg,1\n", "list, line 4: id '1' is already used on line 2"),
        (b"source,id\na.jpg,1\n,2\n", "list, line 3: the source is empty"),
        (b"source,id\na.jpg\n", r"list, line 2: expected 2 fields \(source, id\), found 1"),
        (b"source,source\na.jpg,1\n", "list, line 1: two columns have one name"),
        (b"a.jpg,1\nb.jpg,2\n", "list, line 2: the columns are a.jpg, 1: name the column with the pictures"),
        (b"path,image\na.jpg,b.jpg\n", "list, line 2: path and image could each be the pictures"),
        (b'source,id\n"a.jpg,1\n', "list, line 2: unexpected end"),
        (b"", "list, line 1: expected the names of the columns, found none"),
        (b"source,id\n", "list has no pictures"),
        (b'{"source": "a.jpg", "id": "1"}\n{"sorce": "b.jpg", "id": "2"}\n', "list, line 2: there is no 'source' here"),
        (b'{"source": 3}\n', "list, line 1: the source is 3: expected a path or an address"),
        (b'{"source": "a.jpg", "id": 1.5}\n', r"list, line 1: invalid image id '1\.5'"),
        (b'{"source": "a.jpg", "id": "1"\n', "list, line 1: "),
        (b'{"source": "a.jpg", "id": "1"}\n{"source": "", "id": "2"}\n', "list, line 2: the source is empty"),
        (b'{"source": "\xff.jpg", "id": "1"}\n', "list, line 1: "),
        (b'[{"source": "a.jpg"}, 3]', "list, entry 2: expected an object"),
        (b'[{"source": "a.jpg"}', "list, line 1: "),
        (b"PAR1 and nothing else", "list, line 1: cannot read it as Parquet"),
        ("source,id\na,1\n".encode("utf-16") + b"\0", "list, line "),
    ],
)
def test_a_fault_names_the_file_and_the_line(data: bytes, says: str) -> None:
    """Before anything is submitted."""
    with pytest.raises(UsageError, match=f"^{says}"):
        read(data)


def parquet() -> bytes:
    file = io.BytesIO()
    pandas.DataFrame({"path": ["a b.jpg", "s3://in/b.jpg"], "label": ["cat", None], "n": [1, 2]}).to_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"path,label,n\na b.jpg,cat,1\ns3://in/b.jpg,,2\n",
        b"path;label;n\na b.jpg;cat;1\ns3://in/b.jpg;;2\n",
        b"path\tlabel\tn\na b.jpg\tcat\t1\ns3://in/b.jpg\t\t2\n",
        b"Path|label|n\r\na b.jpg|cat|1\r\ns3://in/b.jpg||2\r\n",
        "path,label,n\na b.jpg,cat,1\ns3://in/b.jpg,,2\n".encode("utf-16"),
        '{"path": "a b.jpg", "label": "cat", "n": 1}\n{"path": "s3://in/b.jpg", "n": 2}\n'.encode("utf-16"),
        b'[{"path": "a b.jpg", "label": "cat", "n": 1},\n {"path": "s3://in/b.jpg", "label": null, "n": 2}]',
        parquet(),
    ],
)
def test_tables_are_read_as_people_have_them(data: bytes) -> None:
    """Any delimiter, UTF-16, JSON, Parquet; without ids; further columns are carried on."""
    found = Manifest("list", partial(io.BytesIO, data))
    found.check()
    rows = [(item.picture, item.notes.id, {k: str(v) for k, v in item.notes.fields.items()}) for item in found]

    assert rows == [("a b.jpg", None, {"label": "cat", "n": "1"}), ("s3://in/b.jpg", None, {"n": "2"})]


def test_the_column_with_the_pictures_may_be_named() -> None:
    """When it has no usual name, or there are several."""
    data = b"x ray,file,id\na.jpg,b.jpg,7\n"
    (row,) = Manifest("list", partial(io.BytesIO, data), "x ray")

    assert (row.picture, row.notes.id, row.notes.fields) == ("a.jpg", "7", {"file": "b.jpg"})
    with pytest.raises(UsageError, match="there is no column 'nope'; the columns are x ray, file, id"):
        Manifest("list", partial(io.BytesIO, data), "nope").check()


def test_parquet_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heavy, and few need it."""
    data = parquet()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'camq\[parquet\]'"):
        read(data)


def test_a_manifest_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ids are held in memory to find those that stand twice."""
    monkeypatch.setattr(manifest, "MOST_PICTURES", 2)

    assert len(read(b"source,id\na,1\nb,2\n")) == 2
    with pytest.raises(UsageError, match="more than 2 pictures: split it into several jobs"):
        read(b"source,id\na,1\nb,2\nc,3\n")


@pytest.mark.parametrize("start", [b'{"source": "', b"source,id\n"])
def test_a_line_without_end_is_refused(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be read whole into memory."""
    monkeypatch.setattr(manifest, "MOST_LINE_BYTES", 65536)
    with pytest.raises(UsageError, match=r"line \d: a line is longer than 65,536 bytes"):
        read(start + b"a" * (manifest.MOST_LINE_BYTES + 1))


COCO = {
    "info": {"year": 2017},
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 8, "height": 6},
        {"id": 9, "file_name": "b.jpg"},
        {"id": 3, "file_name": "none.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 2, "bbox": [1.5, 2, 3, 4], "segmentation": [[1, 2, 3, 4]]},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 2, 2], "iscrowd": 0},
        {"id": 3, "image_id": 9, "category_id": 2, "bbox": [0, 0, 2, 2]},
        {"id": 4, "image_id": 9, "category_id": 5},
        {"id": 5, "image_id": 100, "category_id": 5, "bbox": [0, 0, 1, 1]},
    ],
    "categories": [{"id": 2, "name": "cat", "supercategory": "animal"}, {"id": 5, "name": "dog"}],
}


def test_a_file_of_coco_has_labels_and_boxes() -> None:
    """One label where all annotations are of one category, else a list; corners in the place of width and height."""
    rows = list(Manifest("instances.json", partial(io.BytesIO, json.dumps(COCO, indent=1).encode())))

    assert [(row.picture, row.notes.label) for row in rows] == [
        ("a.jpg", "cat"),
        ("b.jpg", ("cat", "dog")),
        ("none.jpg", None),
    ]
    assert [boxes(row.notes.box) for row in rows] == [((2, 2, 4, 6), (0, 0, 2, 2)), ((0, 0, 2, 2),), ()]


def test_a_picture_with_very_many_boxes_is_carried() -> None:
    """Too long for a field, they are kept as ground truth alone."""
    many = [{"image_id": 7, "category_id": 2, "bbox": [n, 0, 5, 5]} for n in range(900)]
    (row, *_) = Manifest("coco", partial(io.BytesIO, json.dumps(COCO | {"annotations": many}).encode()))

    assert (len(boxes(row.notes.box)), row.notes.fields) == (900, {"label": "cat"})


@pytest.mark.parametrize(
    ("coco", "says"),
    [
        ({"images": [{"id": 1}]}, "missing required field `file_name`"),
        ({"annotations": []}, "missing required field `images`"),
        ({"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3]}]}, "Expected `array` of length 4"),
        ({"images": []}, "has no pictures"),
    ],
)
def test_a_broken_file_of_coco_says_what_is_wrong(coco: object, says: str) -> None:
    """With the file."""
    with pytest.raises(UsageError, match=f"^list.*{says}"):
        read(json.dumps(coco).encode())
