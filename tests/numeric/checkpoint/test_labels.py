"""Class names in the forms that people have them in."""

import json
from pathlib import Path

import pytest

from shared.errors import UsageError
from worker.core.model.labels import given_labels, read_labels

ABC = ("cat", "dog", "bird")
FORMS = {
    "lines": b"cat\ndog\nbird\n",
    "JSON list": b'["cat", "dog", "bird"]',
    "JSON list, a line each": b'[\n"cat",\n"dog",\n"bird"\n]\n',
    "class_to_idx": b'{"dog": 1, "cat": 0, "bird": 2}',
    "idx_to_class": b'{"2": "bird", "0": "cat", "1": "dog"}',
    "ImageNet's JSON": b'{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "bird"]}',
    "index,name": b"0,cat\n1,dog\n2,bird\n",
    "index,name out of order with a header": b"index,name\r\n1,dog\r\n0,cat\r\n2,bird\r\n",
    "name,index": b"dog,1\ncat,0\nbird,2\n",
    "name;index with a header": b"name;index\r\ncat;0\r\ndog;1\r\nbird;2\r\n",
    "pandas": b",label\n0,cat\n1,dog\n2,bird\n",
    "a column with its name": b"class\ncat\ndog\nbird\n",
    "numbers and spaces": b"0 cat\n1 dog\n2 bird\n",
    "YAML": b"names:\n  0: cat\n  1: dog\n  2: bird\n",
    "YAML list": b"names:\n- cat\n- dog\n- bird\n",
    "YAML of a data set": b"path: pets\nnc: 3\nnames: ['cat', 'dog', 'bird']\nauthor:\n  year: 2024\n",
    "Python's assignment": b"classes = ('cat', 'dog',\n           'bird')\n",
    "Python's tuple": b"('cat', 'dog', 'bird')\n",
    "three columns": b"index,name,extra\n1,dog,canis\n0,cat,felis\n2,bird,avis\n",
    "three columns, counted": b"label;class_id;images\ndog;1;17\ncat;0;12\nbird;2;5\n",
    "names and their numbers": b"dog 1\ncat 0\nbird 2\n",
    "name=index": b"dog=1\ncat=0\nbird=2\n",
    "numbers with a dot": b"1. dog\n0. cat\n2. bird\n",
    "one line": b"cat, dog, bird\n",
    "quoted": b'"cat"\n"dog"\n"bird"\n',
    "Python's dictionary": b"{0: 'cat',\n 1: 'dog',\n 2: 'bird'}",
    "Python's list": b"['cat', 'dog', 'bird']",
    "a config.json": b'{"model_type": "vit", "id2label": {"0": "cat", "1": "dog", "2": "bird"}}',
    "objects with names": b'[{"id": 2, "name": "bird"}, {"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]',
    "tabs": b"0\tcat\n1\tdog\n2\tbird\n",
    "synset words": b"n01440764 cat\nn01443537 dog\nn01484850 bird\n",
    "UTF-16": "cat\ndog\nbird\n".encode("utf-16"),
    "Windows": b"\xef\xbb\xbfcat\r\ndog\r\nbird\r\n",
    "an old Mac's": b"cat\rdog\rbird\r",
}


@pytest.mark.parametrize("form", FORMS)
def test_names_are_read_in_every_form(form: str, tmp_path: Path) -> None:
    """In index order."""
    (tmp_path / "labels").write_bytes(FORMS[form])
    assert read_labels(tmp_path / "labels", 3) == ABC


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"caf\xe9\ndog\nbird\n", "labels is not UTF-8: invalid continuation byte at byte 3; save it as UTF-8"),
        (b"cat\ndog\n", "2 names, but the weights are for 3 classes"),
        (b"index,name\n0,cat\n1,dog\n", "2 names, but the weights are for 3 classes"),
        (b'["cat", "dog"', "looks like JSON, but cannot be read as JSON"),
        (b'{"cat": 0, "dog": 2, "bird": 3}', "neither a list of names"),
        (b"{1: 'cat', 2: 'dog', 3: 'bird'}", "neither a list of names"),
        (
            b'[{"id": [], "name": "cat"}, {"id": 1, "name": "dog"}, {"id": 2, "name": "bird"}]',
            "neither a list of names",
        ),
        (b"id,name,label\n0,cat,a\n1,dog,b\n2,bird,c\n", "4 names, but the weights are for 3 classes"),
        (b"a,b," + b"c" * 200_000 + b"\n1,2,3\n4,5,6\n", "a name has at most 1,000 characters"),
        (b"0,cat\n1,dog\n1,bird\n", "expected every number from 0 to 2 exactly once"),
        (b"1 001.Cat\n2 002.Dog\n3 003.Bird\n", "expected every number from 0 to 2 exactly once"),
        (b"cat,1\ndog,2\nbird,3\n", "expected every number from 0 to 2 exactly once"),
        (b"names = ['a', 'b', 'c']\nclasses = ['cat', 'dog', 'bird']\n", "holds several lists of names"),
        (b"code,name,priority\n7,cat,2\n8,dog,0\n9,bird,1\n", "4 names, but the weights are for 3 classes"),
        (b"2 Cat\n1 Dog\n3 Bird\n", "expected every number from 0 to 2 exactly once"),
    ],
)
def test_what_is_no_list_of_names_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    """With what it is, and never taken as text by chance."""
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read_labels(tmp_path / "labels", 3)


def test_names_that_only_look_numbered_stay_as_they_are(tmp_path: Path) -> None:
    """Not every index is there, or all are in their order, or only the number tells two names apart."""
    for names in (
        ("2 door car", "4 door car", "5 door car"),
        ("1 star", "2 stars", "3 stars"),
        ("0 stars", "1 star", "2 stars"),
        ("5 stars", "3 stars", "1 star"),
        ("model 2", "model 1", "model 0"),
        ("KL=2", "KL=0", "KL=1"),
    ):
        (tmp_path / "labels").write_text("\n".join(names))
        assert read_labels(tmp_path / "labels", 3) == names


def test_a_name_may_be_there_twice(tmp_path: Path) -> None:
    """As "crane" is among ImageNet's."""
    (tmp_path / "labels").write_text("3 kite\n1 crane\n0 tench\n2 crane\n")
    assert read_labels(tmp_path / "labels", 4) == ("tench", "crane", "crane", "kite")


def test_names_come_from_the_checkpoint(tmp_path: Path) -> None:
    """Under the keys of trainers, if there are as many as classes; two for one output."""
    facts = {"args.classes": list("ab"), "hyper_parameters.class_to_idx": {"dog": 1, "cat": 0, "bird": 2}, "epoch": 3}
    assert given_labels(facts, 3) == (ABC, "hyper_parameters.class_to_idx")
    assert given_labels(facts, 1) == (("a", "b"), "args.classes")
    assert given_labels(facts, 7) is None
    assert given_labels({"config.id2label": json.loads('{"0": "cat", "1": "dog", "2": "bird"}')}, 3) is not None
