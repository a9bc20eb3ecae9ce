"""The target layer and the head, found by what layers do in one forward: for networks whose code cannot be traced."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from worker.core.model.head import Head, LinearHead
from worker.core.model.structure import UnqualifiedError, weights_of

#: Of float32 sums over a map's positions, relative to the largest of them.
_ROUNDING = 1e-4
_PASSIVE = (nn.Dropout, nn.Identity, nn.Flatten)


@dataclass(frozen=True, eq=False)
class Observed:
    """`layer` puts out the last spatial activations; `head` is what stands behind their mean, None where that is not
    one linear function, and `reason` says what it is."""

    layer: str
    head: Head | None
    reason: str


@dataclass(eq=False)
class _Call:
    path: str
    module: nn.Module
    given: Tensor | None
    output: Tensor | None


class _Record:
    """Every call of a module in one forward, in the order in which they ended."""

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self._given: list[Tensor | None] = []

    def watch(self, path: str, module: nn.Module) -> list[Any]:
        """Hooks on a module, which are to be removed. Copies are kept: a layer may work in place."""

        def before(_: nn.Module, given: tuple[Any, ...]) -> None:
            self._given.append(_copy(given[0]) if given else None)

        def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            self.calls.append(_Call(path, module, self._given.pop(), _copy(output)))

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _copy(value: Any) -> Tensor | None:
    return value.detach().clone() if isinstance(value, Tensor) else None


def observe(module: nn.Module, noise: Tensor) -> Observed:
    """Run the network once and look. Raises UnqualifiedError where no layer puts out a map of the picture."""
    record = _Record()
    handles = [handle for path, each in module.named_modules() if path for handle in record.watch(path, each)]
    try:
        with torch.inference_mode():
            logits = module(noise)
    finally:
        for handle in handles:
            handle.remove()
    counts: dict[str, int] = {}
    for call in record.calls:
        counts[call.path] = counts.get(call.path, 0) + 1
    spatial = [call for call in record.calls if _is_map(call.output) and counts[call.path] == 1]
    if not spatial:
        raise UnqualifiedError("no layer of it puts out a map of the picture")
    for call in _last_first(spatial):
        head, reason = _head(call, record.calls, logits)
        if head is not None or reason:
            return Observed(call.path, head, reason)
    return Observed(_last_first(spatial)[0].path, None, "the mean of its last activations is not what its head takes")


def _last_first(spatial: list[_Call]) -> list[_Call]:
    """The latest first; of modules with the same output the outermost."""
    ordered: list[_Call] = []
    for call in reversed(spatial):
        if not (ordered and _same(ordered[-1].output, call.output)):
            ordered.append(call)
    return ordered


def _head(layer: _Call, calls: list[_Call], logits: Tensor) -> tuple[Head | None, str]:
    """What leads from the mean of the layer's output to the logits. No head and no reason: not that mean."""
    assert layer.output is not None  # noqa: S101 -- it is a map
    value = layer.output.mean((2, 3))
    leaves = [call for call in calls[calls.index(layer) + 1 :] if not list(call.module.children())]
    weight = bias = None
    begun = False
    for call in leaves:
        if call.given is None or call.output is None or not _same(call.given.flatten(1), value):
            if not begun and call.given is not None and _holds(call.given, value):
                return None, f"{call.path} ({type(call.module).__name__}) takes more than the mean of each channel"
            continue
        begun = True
        if isinstance(call.module, nn.Linear):
            w, b = weights_of(call.module)
            bias = b if bias is None else w @ bias + b
            weight = w if weight is None else w @ weight
        elif isinstance(call.module, nn.BatchNorm1d) and call.module.running_var is not None:
            scale, shift = _scale(call.module)
            bias = shift if bias is None else scale * bias + shift
            weight = torch.diag(scale) if weight is None else scale[:, None] * weight
        elif not isinstance(call.module, _PASSIVE) and not _same(call.output.flatten(1), value):
            return (
                None,
                f"{call.path} ({type(call.module).__name__}) stands between its global average pool and its end",
            )
        value = call.output.flatten(1)
        if weight is not None and bias is not None and _same(value, logits):
            return LinearHead(weight.detach(), bias.detach()), ""
    return None, "what stands behind its global average pool is not one linear function" if begun else ""


def _scale(layer: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    assert layer.running_var is not None and layer.running_mean is not None  # noqa: S101, PT018
    scale = 1 / torch.sqrt(layer.running_var.double() + layer.eps)
    scale = scale * layer.weight.double() if layer.affine else scale
    shift = -scale * layer.running_mean.double()
    return scale, shift + layer.bias.double() if layer.affine else shift


def _is_map(output: Tensor | None) -> bool:
    return output is not None and output.dim() == 4 and output.shape[2] > 1 and output.shape[2] == output.shape[3]


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return False
    return a is b or bool((a - b).abs().max() <= _ROUNDING * b.abs().max().clamp(min=1e-6))


def _holds(given: Tensor, mean: Tensor) -> bool:
    """Whether the mean of each channel is a part of what a layer takes, as in fastai's pooling."""
    flat = given.flatten(1)
    wide = flat.shape[1] == 2 * mean.shape[1]
    return wide and (_same(flat[:, : mean.shape[1]], mean) or _same(flat[:, mean.shape[1] :], mean))
