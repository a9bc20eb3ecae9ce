"""Weights that lie in object storage."""

from pathlib import Path

import msgspec
import pytest
import torch

from shared.config import Settings
from shared.errors import ModelError
from shared.storage import S3Store
from worker.core.model.published import input_spec
from worker.models import weights_file
from worker.models.asked import asked as model_asked

pytestmark = pytest.mark.servers


def test_weights_at_an_address_are_brought_here_once_for_each_state(
    settings: Settings, s3_store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same object is not downloaded twice; another under its address is another file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = msgspec.structs.replace(settings, weights=f"s3://{s3_store.bucket}/weights/net.pth")
    with pytest.raises(ModelError, match="there is nothing at"):
        model_asked(asked)
    s3_store.put("weights/net.pth", b"first")
    first, again = model_asked(asked).weights, model_asked(asked).weights
    assert first is not None
    assert first.read_bytes() == b"first"
    s3_store.put("weights/net.pth", b"the second")
    second = model_asked(asked).weights

    assert second is not None
    assert first == again != second
    assert second.read_bytes() == b"the second"
    assert first.name == second.name == "net.pth"
    # The earlier state does not stay behind: each retraining would leave another file of gigabytes.
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [second]


def test_an_object_that_is_too_large_is_not_brought_here(
    settings: Settings, s3_store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is held in memory on its way: it is refused by its size, before a byte of it is read."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights_file, "MOST_BYTES", 4)
    s3_store.put("weights/large.pth", b"12345")
    with pytest.raises(ModelError, match=r"large\.pth has 5 bytes, more than 4"):
        model_asked(msgspec.structs.replace(settings, weights=f"s3://{s3_store.bucket}/weights/large.pth"))

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_published_file_is_known_by_its_name_wherever_it_lies(
    settings: Settings, s3_store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own preprocessing goes with it, which is not that of the architecture's default weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = "regnet_y_16gf_swag-43afe44d.pth"
    s3_store.put(f"weights/{name}", b"state dict")
    path = model_asked(msgspec.structs.replace(settings, weights=f"s3://{s3_store.bucket}/weights/{name}")).weights

    assert path is not None
    spec = input_spec("regnet_y_16gf", torch.nn.Identity(), path)
    assert (spec.size, spec.resize_size, spec.interpolation) == (384, 384, "bicubic")


def test_a_file_is_taken_where_it_lies_and_none_stays_none(settings: Settings) -> None:
    """Only addresses are downloaded."""
    assert model_asked(msgspec.structs.replace(settings, weights="/models/net.pth")).weights == Path("/models/net.pth")
    assert model_asked(settings).weights is None
