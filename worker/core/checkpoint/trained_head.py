"""The head of a fine-tuned network, built from what its trainer saved of it: layers without names that mean anything.

Dropout, flattening and activations leave no tensors. Where a number is missing between two layers of a `Sequential`,
something stood there that has none.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from worker.core.checkpoint.fit import Shape

#: What trainers keep beside their network that is no layer of it.
BESIDE = re.compile(
    r"(^|[._])(loss|losses|criterion|objective|metrics?|confmat|acc|accuracy|auroc|optim\w*|sched\w*|pos_weight|"
    r"class_weights?|aux\w*)([._]|$)|_?(loss|criterion|metric)s?([._]|$)|_(fn|acc|auc|f1)([._]|$)",
    re.IGNORECASE,
)
NO_ACTIVATION = "none"
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "hardswish": nn.Hardswish,
}


@dataclass(frozen=True)
class Layer:
    """One layer that was saved: `tensors` lead from `weight`, `bias`, … to their names in the checkpoint."""

    path: str
    kind: Literal["linear", "batch_norm", "layer_norm"]
    tensors: dict[str, str]
    inputs: int
    outputs: int
    #: Whether it lies around the whole network, whose classes it takes.
    around: bool = False

    @property
    def place(self) -> tuple[str, int | None]:
        """What it lies in, and as which child, where children are numbered."""
        parent, _, last = self.path.rpartition(".")
        return (parent, int(last)) if last.isdecimal() else (parent, None)


def layers(names: Iterable[str], shapes: Mapping[str, Shape]) -> list[Layer]:
    """The layers that a head may be of, in order."""
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        path, _, tensor = name.rpartition(".")
        groups.setdefault(path, {})[tensor] = name
    found = []
    for path, tensors in groups.items():
        if BESIDE.search(path):
            continue
        sizes = {shapes[name] for name in tensors.values()}
        if {"running_mean", "running_var"} <= tensors.keys() and len(sizes) == 1 and len(min(sizes)) == 1:
            [(width,)] = sizes
            found.append(Layer(path, "batch_norm", tensors, width, width))
            continue
        weight = shapes[tensors["weight"]] if "weight" in tensors else ()
        biased = "bias" not in tensors or shapes[tensors["bias"]] == weight[:1]
        if len(weight) == 2 and biased and tensors.keys() <= {"weight", "bias"}:
            found.append(Layer(path, "linear", tensors, weight[1], weight[0]))
        elif len(weight) == 1 and tensors.keys() == {"weight", "bias"}:
            found.append(Layer(path, "layer_norm", tensors, weight[0], weight[0]))
    return sorted(found, key=lambda layer: _natural(layer.path)) if _numbered(found) else found


def chain(found: Sequence[Layer], width: int) -> list[Layer]:
    """The layers that lead from `width` numbers to the classes, one after the other; none where they do not."""
    used: list[Layer] = []
    for layer in found:
        if layer.inputs == (used[-1].outputs if used else width):
            used.append(layer)
    while used and used[-1].kind != "linear" and not _follows(used):
        used.pop()
    return used


def _follows(used: Sequence[Layer]) -> bool:
    """Whether the last one is a batch normalisation beside the linear layer whose outputs it takes."""
    return len(used) > 1 and used[-1].kind == "batch_norm" and used[-1].place[0] == used[-2].place[0]


def rivals(found: Sequence[Layer], used: Sequence[Layer]) -> list[Layer]:
    """Linear layers beside the chain that take what it takes: heads of their own."""
    linear = [layer for layer in used if layer.kind == "linear"]
    return [
        each
        for each in found
        if each not in used and each.kind == "linear" and linear and each.inputs == used[0].inputs
    ]


def activated(used: Sequence[Layer]) -> list[bool]:
    """For each layer whether an activation stands before it."""
    marks, open_ = [], False  # `open_`: a linear layer whose activation has not come yet
    for before, layer in zip([None, *used], used, strict=False):
        places = gap(before, layer)
        if before is None or not open_:
            mark = False
        elif layer.kind == "linear":
            mark = places is None or places > 1
        else:
            mark = places is not None and places > 1
        marks.append(mark)
        open_ = layer.kind == "linear" or (open_ and not mark)
    return marks


def build(used: Sequence[Layer], read: Callable[[str], Tensor], activation: str) -> nn.Module:
    """The head: one linear layer where that is the same function, else its layers with `activation` between them."""
    marks = [activation != NO_ACTIVATION and mark for mark in activated(used)]
    if not any(marks) and all(layer.kind != "layer_norm" for layer in used):
        return _linear(*_composed(used, read))
    parts: list[nn.Module] = []
    for layer, mark in zip(used, marks, strict=True):
        parts += [ACTIVATIONS[activation]()] if mark else []
        own = {name: read(source).float() for name, source in layer.tensors.items()}
        if layer.kind == "linear":
            parts.append(_linear(own["weight"], own.get("bias")))
        elif layer.kind == "batch_norm":
            parts.append(_Scale(*_affine(own)))
        else:
            norm = nn.LayerNorm(layer.inputs)
            norm.load_state_dict(own)
            parts.append(norm)
    return nn.Sequential(*parts)


class _Scale(nn.Module):
    """x · scale + shift: what a batch normalisation is once trained."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(scale.float()), nn.Parameter(shift.float())

    def forward(self, x: Tensor) -> Tensor:
        """(N, K) → (N, K)."""
        return x * self.scale + self.shift


def _composed(used: Sequence[Layer], read: Callable[[str], Tensor]) -> tuple[Tensor, Tensor | None]:
    """Linear layers and batch normalisations one after the other as one matrix and bias, in float64."""
    weight: Tensor | None = None
    bias: Tensor | None = None
    for layer in used:
        own = {name: read(source) for name, source in layer.tensors.items()}
        if layer.kind == "linear":
            w, b = own["weight"], own.get("bias")
            if weight is None and bias is None:
                weight, bias = w, b  # alone it stays as it is, to the last bit
                continue
            w = w.double()
            bias = w @ bias.double() if bias is not None else None
            bias = b.double() + (bias if bias is not None else 0) if b is not None else bias
            weight = w if weight is None else w @ weight.double()
        else:
            scale, shift = _affine(own)
            weight = torch.diag(scale) if weight is None else scale[:, None] * weight.double()
            bias = shift if bias is None else scale * bias.double() + shift
    assert weight is not None  # noqa: S101 -- a chain ends in a linear layer
    return weight.float(), None if bias is None else bias.float()


def _affine(own: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    scale = 1 / torch.sqrt(own["running_var"].double() + nn.BatchNorm1d(1).eps)
    scale = scale * own["weight"].double() if "weight" in own else scale
    shift = -scale * own["running_mean"].double()
    return scale, shift + own["bias"].double() if "bias" in own else shift


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def gap(before: Layer | None, layer: Layer) -> int | None:
    """How many places lie between two layers of one `Sequential`, or between a network and a layer around it."""
    if before is None:
        return None
    if layer.around and not before.around:
        pairs = zip(before.path.split("."), layer.path.split("."), strict=False)
        first, second = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
        return int(second) - int(first) if first.isdecimal() and second.isdecimal() else None
    (parent, place), (own, following) = before.place, layer.place
    return following - place if parent == own and place is not None and following is not None else None


def _numbered(found: Sequence[Layer]) -> bool:
    return len({layer.place[0] for layer in found}) <= 1 and all(layer.place[1] is not None for layer in found)


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in path.split(".")]
