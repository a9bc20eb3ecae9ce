"""A checkpoint whose structure is known; its numbers are read from the file when they are wanted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from shared.errors import ModelError
from worker.core.checkpoint.files import read_index, weights_in
from worker.core.checkpoint.fit import Shape, below
from worker.core.checkpoint.index import WIDTHS, Index, Place

#: How the direction of a weight ends, and how its length does.
_NORMED = (("weight_v", "weight_g"), ("parametrizations.weight.original1", "parametrizations.weight.original0"))


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The file `path`, and what is in it; with `key` only what lies under that."""

    path: Path
    index: Index
    key: str = ""
    #: Weights that the file has as a length and a direction, by the names that they have once both are multiplied.
    normed: dict[str, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Every tensor's name and shape."""
        names = self._chosen(self.index.tensors)
        plain = {name: self.index.tensors[name].shape for name in names}
        parts = {part: (name, both) for name, both in self.normed.items() for part in both}
        return {
            parts[name][0] if name in parts else name: shape
            for name, shape in plain.items()
            if name not in parts or name == parts[name][1][1]
        }

    def folded(self) -> "Checkpoint":
        """The same with the weights of `torch.nn.utils.weight_norm`, old and new, under their plain names."""
        found = {}
        for name, shape in self.shapes.items():
            for direction, length in _NORMED:
                other = name.removesuffix(direction) + length
                if name.endswith(direction) and self.shapes.get(other) == (shape[0], *[1] * (len(shape) - 1)):
                    found[f"{name.removesuffix(direction)}weight"] = other, name
        return replace(self, normed=found) if found else self

    @cached_property
    def refused(self) -> dict[str, str]:
        """Tensors that the file names but that cannot be had, and why."""
        return {name: self.index.refused[name] for name in self.index.refused if not self.key or self.key in name}

    def under(self, key: str) -> "Checkpoint":
        """The part of it under a key; `ema` means any averaged copy. ModelError, with the keys, where there is none."""
        if not below(self.index.tensors, key):
            keys = dict.fromkeys(name.partition(".")[0] for name in self.index.tensors)
            raise ModelError(f"{self.path} has nothing under {key!r}: it holds {', '.join(list(keys)[:12])}")
        return replace(self, key=key)

    def read(self, name: str) -> Tensor:
        """The tensor, contiguous and in memory of its own. ModelError where the file has changed meanwhile."""
        if name in self.normed:
            length, direction = (self.read(part) for part in self.normed[name])
            return torch._weight_norm(direction, length, 0)
        place = self.index.tensors[name]
        width = WIDTHS[place.dtype]
        wanted = (place.last + 1 - place.offset) * width
        if not place.count:
            return torch.empty(place.shape, dtype=getattr(torch, place.dtype))
        with self._file(place).open("rb") as file:
            file.seek(place.start + place.offset * width)
            data = bytearray(file.read(wanted))
        if len(data) != wanted:
            raise ModelError(f"{self.path} has become shorter while it was read")
        flat = torch.frombuffer(data, dtype=getattr(torch, place.dtype))
        return flat.as_strided(place.shape, place.stride).contiguous()

    def _file(self, place: Place) -> Path:
        path = weights_in(self.path) if self.path.is_dir() else self.path
        return path.with_name(self.index.files[place.file]) if self.index.files else path

    def _chosen(self, names: dict[str, Place]) -> Iterator[str]:
        yield from below(names, self.key) if self.key else names


def open_checkpoint(weights: Path, read: Callable[[Path], Index] = read_index) -> Checkpoint:
    """The checkpoint in a file; as `FILE#KEY`, where no file has that very name, what lies under a key of it."""
    path, separator, key = str(weights).rpartition("#")
    if separator and path and not weights.exists():
        return Checkpoint(Path(path), read(Path(path))).under(key)
    return Checkpoint(weights, read(weights))
