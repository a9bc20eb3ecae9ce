"""A file that names pictures and ids: what is read, and how a fault is told."""

import io
import os
from functools import partial

import pytest

from producer.inputs import manifest
from producer.inputs.manifest import Manifest
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
        (b"source,id\na.jpg,\n", "list, line 2: invalid image id ''"),
        (b"source,id\na.jpg\n", "list, line 2: expected a source and an id, found 1 fields"),
        (
            b"source,id,label\na.jpg,1,cat\n",
            "list, line 1: expected the columns source and id, found source, id, label",
        ),
        (b"a.jpg,1\n", "list, line 1: expected the columns source and id, found a.jpg, 1"),
        (b'source,id\n"a.jpg,1\n', "list, line 2: unexpected end"),
        (b"", "list, line 1: expected the columns source and id, found none"),
        (b"source,id\n", "list has no pictures"),
        (b'{"source": "a.jpg", "id": "1"}\n{"sorce": "b.jpg", "id": "2"}\n', "list, line 2: .*sorce"),
        (b'{"source": "a.jpg"}\n', "list, line 1: .*missing required field `id`"),
        (b'{"source": "a.jpg", "id": 1}\n', "list, line 1: Expected `str`, got `int`"),
        (b'{"source": "a.jpg", "id": "1"\n', "list, line 1: "),
        (b'{"source": "a.jpg", "id": "1"}\n{"source": "", "id": "2"}\n', "list, line 2: the source is empty"),
        (b'{"source": "\xff.jpg", "id": "1"}\n', "list, line 1: "),
    ],
)
def test_a_fault_names_the_file_and_the_line(data: bytes, says: str) -> None:
    """Before anything is submitted."""
    with pytest.raises(UsageError, match=f"^{says}"):
        read(data)


def test_a_manifest_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ids are held in memory to find those that stand twice."""
    monkeypatch.setattr(manifest, "MOST_PICTURES", 2)

    assert len(read(b"source,id\na,1\nb,2\n")) == 2
    with pytest.raises(UsageError, match="more than 2 pictures: split it into several jobs"):
        read(b"source,id\na,1\nb,2\nc,3\n")


@pytest.mark.parametrize("start", [b'{"source": "', b"source,id\n"])
def test_a_line_without_end_is_refused(start: bytes) -> None:
    """It would be read whole into memory."""
    with pytest.raises(UsageError, match=r"line \d: a line is longer than 65,536 bytes"):
        read(start + b"a" * (manifest.MOST_LINE_BYTES + 1))
