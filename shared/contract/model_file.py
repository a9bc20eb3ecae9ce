"""The model file: a small TOML that says all that camq must know of a network that somebody trained."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contract.job_options import LARGEST_INPUT, SMALLEST_INPUT
from shared.contract.model_card import Interpolation, Outputs, Resize

Activation = Literal["relu", "gelu", "silu", "tanh", "elu", "leaky_relu", "hardswish", "none"]
_Side = Annotated[int, Meta(ge=SMALLEST_INPUT, le=LARGEST_INPUT)]
#: Not `tuple[_Side, _Side]`: in a union with a bounded number it crashes msgspec 0.22 when garbage is collected.
_Sides = Annotated[tuple[_Side, ...], Meta(min_length=2, max_length=2)]
_Numbers = Annotated[tuple[float, ...], Meta(min_length=1, max_length=4)]


class InputTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[input]`: how pictures were prepared in training. What is left out is as for the published weights."""

    size: _Side | _Sides | None = None
    mean: _Numbers | None = None
    std: _Numbers | None = None
    resize: Resize | None = None
    resize_size: _Side | _Sides | None = None
    interpolation: Interpolation | None = None
    fill: tuple[int, int, int] | None = None
    channels: Literal[1, 3, 4] | None = None
    exif: bool | None = None
    antialias: bool | None = None

    @property
    def sides(self) -> tuple[int, int] | None:
        """`size` as height and width."""
        return None if self.size is None else _both(self.size)

    @property
    def before_crop(self) -> tuple[int, int | None] | None:
        """`resize_size` as height and width, or as the shorter side alone."""
        given = self.resize_size
        return None if given is None else (given, None) if isinstance(given, int) else _both(given)


def _both(size: int | tuple[int, ...]) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


class ModelFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model file's content; paths are relative to the file."""

    #: None: what the folder of weights says, else resnet18.
    architecture: str | None = None
    name: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")] | None = None
    weights: str | None = None
    labels: str | tuple[str, ...] | None = None
    outputs: Outputs | None = None
    target_layer: str | None = None
    #: What stands between the linear layers of a head that has several; a checkpoint does not tell.
    activation: Activation | None = None
    input: InputTable = InputTable()
