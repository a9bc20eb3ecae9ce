"""What every source of architectures offers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from shared.contract import Outputs
from worker.core.types import InputSpec

Shape = tuple[int, ...]


class Architecture(Protocol):
    """A network's structure. `name` is what names it in a model file."""

    @property
    def name(self) -> str:
        """Such as `resnet18` or `timm:resnet18`."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of its classes beside the checkpoint, as `Index.facts`."""

    @property
    def outputs(self) -> Outputs | None:
        """How probabilities are made of its logits, where that is known."""

    @property
    def described(self) -> str:
        """What an answer depends on beside `name` and the weights."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people, once it is built."""

    def knows_input(self, weights: Path | None) -> bool:
        """Whether `spec` is what was done in training; else it is only what is usual. `weights` as for `spec`, None for
        the published ones."""

    def build(self, shapes: Mapping[str, Shape]) -> nn.Module:
        """The network, in its weights' form as far as a checkpoint of these shapes tells."""

    def published(self) -> Path | None:
        """The file of weights where the user gives none; None where `build` has brought them."""

    def spec(self, module: nn.Module, weights: Path | None) -> InputSpec:
        """What it was trained to see."""
