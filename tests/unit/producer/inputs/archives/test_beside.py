"""Labels and descriptions that a WebDataset shard has beside its pictures."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from producer.inputs.expand import Expansion
from shared.errors import UsageError
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import picture

INSIDE = {
    "./0001.jpg": picture(),
    "./0001.cls": b"281\n",
    "./0001.json": json.dumps({"caption": "a cat", "size": [8, 6], "exif": "x" * 5000, "box": [1, 2, 3, 4]}).encode(),
    "./0002.cls": b"tabby",
    "./0002.seg.png": picture(),
    "./0003.png": picture(),
    "./0003.json": b"{broken",
    "./0004.json": b'{"label": "alone"}',
    "./0005.cls": b"5",
    "./notes.txt": b"text",
}


@pytest.mark.parametrize("name", ["shard-000000.tar", "shard-000000.tar.gz"])
def test_what_stands_beside_a_picture_says_what_it_is(name: str, tmp_path: Path) -> None:
    """`.cls` is its label; `.json` has fields, of which those that are too long are not carried. What has no picture is
    left out, and a file that is damaged says nothing."""
    with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
        for inner, data in INSIDE.items():
            info = tarfile.TarInfo(inner)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    expansion = Expansion(str(tmp_path / name), store=MemoryStore)

    first, second, third = (source.notes for source in expansion)

    assert first.label == "281"
    assert first.box == [1, 2, 3, 4]
    assert first.fields == {"label": "281", "caption": "a cat", "size": "[8, 6]", "box": "[1, 2, 3, 4]"}
    assert (second.label, dict(second.fields)) == ("tabby", {"label": "tabby"})
    assert (third.label, dict(third.fields)) == (None, {})
    assert expansion.left_out.counts == {".cls": 1, ".json": 1, ".txt": 1}


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz"])
def test_an_archive_of_descriptions_alone_does_not_fill_the_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are kept while its pictures are read, and packed they may be small."""
    monkeypatch.setattr("producer.inputs.archives.beside.MOST_BYTES_IN_ALL", 1000)
    with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
        for number in range(4):
            info = tarfile.TarInfo(f"{number}.json")
            info.size = 300
            archive.addfile(info, io.BytesIO(b'{"a": "' + b"x" * 291 + b'"}'))

    with pytest.raises(UsageError, match=rf"{name}.*\.json\) have more than 1,000 bytes: split it"):
        list(Expansion(str(tmp_path / name), store=MemoryStore))
