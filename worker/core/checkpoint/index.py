"""What lies where in a checkpoint: its tensors by name, and the plain facts beside them."""

from typing import Any, Literal

import msgspec

#: Bytes of one element. A name that is not here is of no use to a network (quantised, eight-bit floats, …).
WIDTHS = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
#: With an optimiser's state and averaged weights; a state dict alone has a hundredth of that.
MOST_TENSORS = 200_000

Kind = Literal["torch", "legacy", "safetensors"]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a tensor's numbers are: its storage is `size` bytes of file `file` from `start` on, and the tensor
    begins `offset` elements into it."""

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    start: int
    size: int
    file: int = 0

    @property
    def count(self) -> int:
        """How many numbers it has."""
        product = 1
        for side in self.shape:
            product *= side
        return product

    @property
    def last(self) -> int:
        """The index in its storage of its last number; one less than `offset` where it has none."""
        if not self.count:
            return self.offset - 1
        return self.offset + sum((side - 1) * step for side, step in zip(self.shape, self.stride, strict=True))


class Index(msgspec.Struct, frozen=True):
    """A checkpoint without its numbers.

    `tensors` have the keys that lead to them, joined by dots. `facts` are the plain values that may describe the
    network, by their keys, such as its class names. `refused` says of tensors that cannot be had why.
    """

    kind: Kind
    tensors: dict[str, Place]
    facts: dict[str, Any] = {}
    refused: dict[str, str] = {}
    #: The files that `Place.file` counts, for a checkpoint in several; relative to the folder of the first.
    files: tuple[str, ...] = ()
    #: The class of a whole pickled module, where the file holds one.
    module: str | None = None
