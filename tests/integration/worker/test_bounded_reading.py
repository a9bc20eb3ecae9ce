"""Checkpoints of strangers are read in a process of its own, which may die of them."""

import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shared.errors import ModelError
from worker.core.checkpoint.files import read_index
from worker.models.reading import read_bounded


class Touch:
    """What runs code when Python unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as refused:
        read_bounded(path)
    return str(refused.value)


def test_the_child_finds_what_the_reader_finds(tmp_path: Path) -> None:
    """Also of a file that would run code, of which nothing runs."""
    path, marker = tmp_path / "w.pth", tmp_path / "marker"
    torch.save({"model": torch.nn.Linear(3, 2).state_dict(), "args": Touch(marker), "classes": ["a", "b"]}, path)

    found = read_bounded(path)

    assert found == read_index(path)
    assert found.tensors["model.weight"].shape == (2, 3)
    assert found.facts == {"classes": ["a", "b"]}
    assert not marker.exists()


def test_a_refusal_comes_back_as_one(tmp_path: Path) -> None:
    """The same sentence, whichever process says it."""
    (tmp_path / "text.pth").write_text("hello")
    assert refusal(tmp_path / "text.pth") == (
        f"{tmp_path}/text.pth cannot be read as weights: it is neither a file of torch.save nor of safetensors"
    )


# Opcodes: PROTO 2; a key of 200 letters; then dictionaries, each of which holds the one before it twice.
DOUBLED = b"\x80\x02}" + b"".join(b"q\x00}(X\x01\0\0\0ah\x00X\x01\0\0\0bh\x00u" for _ in range(10_000)) + b"."


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02" + b"]" * 10_000_000,
        b"\x80\x02" + b"(" * 3_000_000 + b"t" * 3_000_000 + b".",
        b"\x80\x02" + b"]" + b"\x85" * 4_000_000 + b".",
        b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little"),
        b"\x80\x04N" + b"r\xff\xff\xff\xff" + b".",
        b"\x80\x02c" + b"a" * 9_000_000,
        DOUBLED,
        pickle.dumps([[1] * 100] * 1_000_000),
    ],
    ids=["lists", "marks", "nest", "length", "memo", "name", "doubled", "references"],
)
def test_a_crafted_pickle_is_refused_and_costs_little(content: bytes, tmp_path: Path) -> None:
    """No such file ends the worker, or takes its memory or its minutes."""
    (tmp_path / "bomb.pth").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert "bomb.pth" in refusal(tmp_path / "bomb.pth")

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_the_child_needs_no_torch() -> None:
    """Loading it would take a second, and the memory that the child has not."""
    code = "import sys, worker.models.reading; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
