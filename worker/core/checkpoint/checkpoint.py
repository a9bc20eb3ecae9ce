"""A checkpoint whose structure is known; its numbers are read from the file when they are wanted."""

import math
import operator
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


def _length(direction: Tensor, length: Tensor) -> Tensor:
    return torch._weight_norm(direction, length, 0)


def _spectral(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return weight / (u @ weight.flatten(1) @ v)


def _is_length(weight: Shape, g: Shape) -> bool:
    """One for each row; torch reads as many whatever there is."""
    return len(weight) > 1 and g == (weight[0], *[1] * (len(weight) - 1))


def _are_directions(weight: Shape, u: Shape, v: Shape) -> bool:
    return len(weight) > 1 and u == weight[:1] and v == (math.prod(weight[1:]),)


_PARAMETRIZED = "parametrizations.weight."
#: How the tensors end that torch.nn.utils' weight_norm, spectral_norm and prune keep instead of one, old and new; which
#: shapes they have; what makes one of them. The first has its shape.
_FOLDS: tuple[tuple[tuple[str, ...], Callable[..., bool], Callable[..., Tensor]], ...] = (
    (("weight_v", "weight_g"), _is_length, _length),
    ((f"{_PARAMETRIZED}original1", f"{_PARAMETRIZED}original0"), _is_length, _length),
    (("weight_orig", "weight_u", "weight_v"), _are_directions, _spectral),
    ((f"{_PARAMETRIZED}original", f"{_PARAMETRIZED}0._u", f"{_PARAMETRIZED}0._v"), _are_directions, _spectral),
    (("weight_orig", "weight_mask"), operator.eq, torch.mul),
    (("bias_orig", "bias_mask"), operator.eq, torch.mul),
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The file `path`, and what is in it; with `key` only what lies under that."""

    path: Path
    index: Index
    key: str = ""
    #: Tensors that the file has in parts, by their own names: the parts, and what makes one of them.
    folds: dict[str, tuple[tuple[str, ...], Callable[..., Tensor]]] = field(default_factory=dict)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Every tensor's name and shape."""
        names = self._chosen(self.index.tensors)
        plain = {name: self.index.tensors[name].shape for name in names}
        whole = {part: name for name, (parts, _) in self.folds.items() for part in parts}
        firsts = {parts[0] for parts, _ in self.folds.values()}
        return {whole.get(name, name): shape for name, shape in plain.items() if name not in whole or name in firsts}

    def folded(self) -> "Checkpoint":
        """The same with tensors that are kept in parts under their plain names."""
        found = {}
        for ends, fits, make in _FOLDS:
            for name in self.shapes:
                stem = name.removesuffix(ends[0])
                parts = tuple(stem + end for end in ends)
                if not name.endswith(ends[0]) or not all(part in self.shapes for part in parts):
                    continue
                if fits(*(self.shapes[part] for part in parts)):
                    found[f"{stem}{'bias' if ends[0] == 'bias_orig' else 'weight'}"] = parts, make
        return replace(self, folds=found) if found else self

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
        if name in self.folds:
            parts, make = self.folds[name]
            try:
                return make(*(self.read(part) for part in parts))
            except RuntimeError as error:
                raise ModelError(
                    f"{self.path}: {' and '.join(parts)} cannot be combined into one weight: {error}"
                ) from None
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
