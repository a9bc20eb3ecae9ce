"""A description that is far larger than its weights is refused before anything of its size is in memory."""

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from shared.errors import ModelError
from worker.core.checkpoint.checkpoint import Checkpoint, open_checkpoint
from worker.core.model.checkpoints import restored
from worker.core.types import InputSpec


class Described:
    """A folder's network of layers of this width; one that `computes` cannot be built without numbers."""

    name, outputs, described, notes = "somebody:net", None, "", ()
    facts: Mapping[str, Any] = {}

    def __init__(self, width: int, *, computes: bool) -> None:
        self._width, self._computes = width, computes

    def build(self, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        """As the libraries do: what it raises is a ModelError."""
        try:
            rates = torch.linspace(0, 0.1, 2).tolist() if self._computes else [0, 0.1]
            sides = self._width, self._width
            layers = [nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(*sides), nn.Dropout(rates[1]), nn.Linear(*sides)]
            return nn.Sequential(*layers)
        except Exception as error:
            raise ModelError(f"cannot build it: {error}") from error

    def knows_input(self, weights: Path | None) -> bool:
        return False

    def published(self) -> Path | None:
        return None

    def spec(self, module: nn.Module, weights: Path | None) -> InputSpec:
        return InputSpec()


@pytest.fixture
def weights(tmp_path: Path) -> Checkpoint:
    """Of the network whose layers are 64 wide."""
    torch.save(Described(64, computes=True).build({}).state_dict(), tmp_path / "w.pth")
    return open_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("computes", [False, True])
def test_what_its_weights_are_of_is_loaded(weights: Checkpoint, computes: bool) -> None:
    """Also where it must be built to be measured."""
    found = restored(Described(64, computes=computes), weights)
    assert not isinstance(found, str)
    assert torch.equal(found.module.state_dict()["2.weight"], weights.read("2.weight"))


@pytest.mark.parametrize("computes", [False, True])
def test_what_is_far_larger_is_not_built(weights: Checkpoint, computes: bool) -> None:
    """30,000 wide it would take seven gigabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"somebody:net is described as a network of [0-9,]+ numbers, but .* holds 8,"):
        restored(Described(30_000, computes=computes), weights)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
