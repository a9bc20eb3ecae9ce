"""The target layer and the head, found by what layers do in one forward: for networks whose code cannot be traced."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from shared.errors import ModelError, UsageError
from worker.core.model.gradients import Tape
from worker.core.model.head import Head, LinearHead
from worker.core.model.structure import UnqualifiedError, weights_of

#: Of float32 sums over a map's positions, relative to the largest of them.
_ROUNDING = 1e-4
#: A share of positions; a closed ReLU behind them may stop some.
_MOST_OF_THEM = 0.5
_PASSIVE = (nn.Dropout, nn.Identity, nn.Flatten)
#: A layer's name and output → (N, K, h, w); raises UsageError when it is no map.
AsMap = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Observed:
    """`layer` puts out the last spatial activations; `head` is what stands behind their mean, None where that is not
    one linear function, and `reason` says what it is."""

    layer: str
    head: Head | None
    reason: str


@dataclass(eq=False)
class _Call:
    place: int
    path: str
    module: nn.Module
    given: Tensor | None
    output: Tensor | None
    #: The output as a map (1, K, h, w), where it is one.
    map: Tensor | None = None

    @cached_property
    def is_leaf(self) -> bool:
        """Whether it has no layers inside."""
        return not list(self.module.children())

    @cached_property
    def flat(self) -> Tensor | None:
        """What it was given, (1, K)."""
        return None if self.given is None or self.given.dim() < 2 else self.given.flatten(1)


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
            self.calls.append(_Call(len(self.calls), path, module, self._given.pop(), _copy(output)))

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _copy(value: Any) -> Tensor | None:
    return value.detach().clone() if isinstance(value, Tensor) else None


def read_logits(module: nn.Module, noise: Tensor) -> int:
    """How many classes the network answers with. An object or a dictionary that holds `logits` is read from now on.

    Raises ModelError for one that does not run on `noise` (1, K, H, W), or that puts out anything else.
    """
    try:
        with torch.inference_mode():
            output = module(noise)
    except Exception as error:  # its code may be anybody's
        raise ModelError(
            f"the network does not run on a picture of {tuple(noise.shape[1:])}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(output, Tensor):
        module.register_forward_hook(lambda _, __, given: _logits(given))
    logits = _logits(output)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != 1 or not logits.is_floating_point():
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(output).__name__
        raise ModelError(
            f"the network puts out {shape} for one picture; expected logits (1, classes), or an object or a dictionary "
            "that holds them as `logits`"
        )
    return logits.shape[1]


def _logits(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output
    return output.get("logits") if isinstance(output, dict) else getattr(output, "logits", output)


def observe(module: nn.Module, noise: Tensor, as_map: AsMap) -> Observed:
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
        call.map = _map(call, as_map)
    spatial = [call for call in record.calls if call.map is not None and counts[call.path] == 1]
    if not spatial:
        raise UnqualifiedError("no layer of it puts out a map of the picture")
    ordered = _last_first(spatial)
    for call in ordered:
        head, reason = _head(call, record.calls, logits)
        if head is not None or reason:
            return Observed(call.path, head, reason)
    found = next(_mattering(module, noise, ordered, as_map), None)
    if found is None:
        raise UnqualifiedError("no layer of it puts out a map whose every position matters to the output")
    return Observed(found.path, None, _why_open(found))


def _why_open(found: _Call) -> str:
    assert found.output is not None and found.map is not None  # noqa: S101, PT018 -- it is a map
    special = found.output.shape[1] - found.map[0, 0].numel()
    if found.output.dim() == 3 and special:
        return f"its head looks at tokens that stand for no position (it has {special}), not at the mean over positions"
    return "the mean of its last activations is not what its head takes"


def _mattering(module: nn.Module, noise: Tensor, ordered: list[_Call], as_map: AsMap) -> Iterator[_Call]:
    """The maps of which most positions change the output, the last first.

    Behind the last attention of a transformer only the class token does. Of tokens a normalisation is preferred: its
    output is what the attention looks at, where queries and keys are only parts of that.
    """
    normal = [call for call in ordered if _is_normal(call)]
    for call in (*normal, *(call for call in ordered if call not in normal)):
        try:
            tape = Tape(module, [call.path], noise)
            [(gradient,)] = tape.gradients(lambda logits: logits.square().sum(1, keepdim=True))
        except (UsageError, RuntimeError):  # an output that is not the one tensor that flows on
            continue
        if as_map(call.path, gradient).abs().amax(1).gt(0).float().mean() > _MOST_OF_THEM:
            yield call


def _is_normal(call: _Call) -> bool:
    assert call.output is not None  # noqa: S101 -- it is a map
    if call.output.dim() == 4:
        return "attention" not in call.path  # a projection in there sees values alone
    return "norm" in type(call.module).__name__.lower()


def _last_first(spatial: list[_Call]) -> list[_Call]:
    """The latest first; of modules with the same output the outermost."""
    ordered: list[_Call] = []
    for call in reversed(spatial):
        if not (ordered and _same(ordered[-1].output, call.output)):
            ordered.append(call)
    return ordered


def _head(layer: _Call, calls: list[_Call], logits: Tensor) -> tuple[Head | None, str]:
    """What leads from the mean of the layer's output to the logits. No head and no reason: not that mean."""
    assert layer.map is not None  # noqa: S101 -- it is a map
    value = layer.map.mean((2, 3))
    leaves = [call for call in calls[layer.place + 1 :] if call.is_leaf]
    weight = bias = None
    begun = False
    for call in leaves:
        if call.given is None or call.output is None or not _same(call.flat, value):
            if not begun and _holds(call.flat, value):
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


def _map(call: _Call, as_map: AsMap) -> Tensor | None:
    """The output as a map of more than one position."""
    if call.output is None or len(call.output) != 1 or not call.output.is_floating_point():
        return None
    try:
        found = as_map(call.path, call.output)
    except UsageError:
        return None
    return found if found[0, 0].numel() > 1 else None


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return False
    return a is b or bool((a - b).abs().max() <= _ROUNDING * b.abs().max().clamp(min=1e-6))


def _holds(flat: Tensor | None, mean: Tensor) -> bool:
    """Whether the mean of each channel is a part of what a layer takes, as in fastai's pooling."""
    wide = flat is not None and flat.shape[1] == 2 * mean.shape[1]
    return (
        flat is not None and wide and (_same(flat[:, : mean.shape[1]], mean) or _same(flat[:, mean.shape[1] :], mean))
    )
