"""Weights and label files that unpack to far more than their own bytes: refused before a network is built."""

import json
import zipfile
from pathlib import Path

import pytest
import torch

from shared.errors import ModelError, UsageError
from tests.numeric.networks import CPU
from worker.core.checkpoint import files
from worker.core.checkpoint.contents import View, index
from worker.core.checkpoint.files import read_index
from worker.core.checkpoint.index import MOST_TENSORS
from worker.core.model.labels import MOST_BYTES, MOST_LETTERS, read_labels
from worker.core.model.network import load_network


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as refused:
        load_network("resnet18", weights=path, device=CPU)
    return str(refused.value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1).expand(300_000, 512),
        torch.ones(1).as_strided((10_000_000, 512), (0, 0)),
        torch.sparse_coo_tensor(torch.tensor([[0], [0]]), torch.ones(1), (10_000_000, 512)),
        torch.empty(10_000_000, 512, device="meta"),
    ],
    ids=["expanded", "strided", "sparse", "meta"],
)
def test_a_tensor_larger_than_its_numbers_is_refused(tensor: torch.Tensor, tmp_path: Path) -> None:
    """1,700 bytes would become a layer of 300,000 classes."""
    torch.save({"fc.weight": tensor}, tmp_path / "bomb.pth")
    found = read_index(tmp_path / "bomb.pth")

    assert (list(found.tensors), list(found.refused)) == ([], ["fc.weight"])
    assert f"fc.weight: {found.refused['fc.weight']}" in refusal(tmp_path / "bomb.pth")


def test_compressed_entries_are_refused(tmp_path: Path) -> None:
    """torch.save stores its entries as they are; a compressed one may be a thousand times larger than the file."""
    torch.save({"fc.weight": torch.zeros(1_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))

    assert list(read_index(tmp_path / "plain.pth").tensors) == ["fc.weight"]
    assert "compressed entries" in refusal(tmp_path / "packed.pth")


@pytest.mark.slow
def test_far_more_tensors_than_a_network_has_are_refused(tmp_path: Path) -> None:
    """Each costs time and memory, even without a number in it; a safetensors file is refused by its header's size."""
    view = View(None, 0, (), (), None)
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"layer{number}": entry for number in range(200_000)}).encode()
    (tmp_path / "many.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)

    with pytest.raises(ModelError, match="more than 200,000 tensors"):
        index("torch", dict.fromkeys(map(str, range(MOST_TENSORS + 1)), view), lambda _: (0, 0))
    assert "more tensors than a network has" in refusal(tmp_path / "many.safetensors")


def test_a_list_of_tensors_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pickle that says what is in the file is read whole."""
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "net.pth")
    assert list(read_index(tmp_path / "net.pth").tensors) == ["fc.weight"]
    monkeypatch.setattr(files, "MOST_INDEX_BYTES", 50)

    assert "too many tensors" in refusal(tmp_path / "net.pth")


def test_a_labels_file_has_limits(tmp_path: Path) -> None:
    """It is read whole, and each name goes into every result."""
    path = tmp_path / "labels.txt"
    path.write_text("cat\n" + "d" * (MOST_LETTERS + 1))
    with pytest.raises(UsageError, match="name 2: a name has at most 1,000 characters"):
        read_labels(path, 2)
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(UsageError, match="more than 67,108,864 bytes"):
        read_labels(path, 2)
