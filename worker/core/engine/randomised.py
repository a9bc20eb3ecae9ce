"""Maps while the network's layers become random, from the top down: what a map owes to what the network learned.

Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv 1810.03292: the
cascading randomisation.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import UNSET
from torch import Tensor, nn

from shared.contract import Method, Options
from shared.errors import ImageError
from worker.core.maps.explain import Outcome, answer, closed_form, read, taped, to_send
from worker.core.model.network import Network
from worker.core.types import Explanation, RandomStage

#: How often the maps are looked at while layers become random: the first time after the topmost alone.
STAGES = 10
_SEED = 0
#: Vectors of a normalisation that were learned though no gradient made them.
_STATISTICS = ("running_mean", "running_var")


def cascade(
    network: Network, picture: Tensor, methods: Sequence[Method], wish: Options, on_step: Callable[[], None]
) -> Outcome:
    """Each method's map of the one class that `wish` names in `picture` (1, 3, S, S), as the network is, and then after
    every stage in `randomised`; after the last one no learned layer is left.

    Works on a copy, which takes as much memory as the network's weights, and only until this returns. Calls `on_step`
    before each stage.
    """
    plain = msgspec.structs.replace(wish, min_probability=UNSET, explain=UNSET)
    wishes = [msgspec.structs.replace(plain, method=method) for method in methods]
    copied = _Copied.of(network, closed=not network.autograd_layers(wish))
    with _watching(copied) as seen:
        outcomes = _explained(copied, picture, wishes, on_step)
    for each in outcomes:
        if isinstance(each, ImageError):
            return each
    stages = [_stage("", outcomes)]
    generator = torch.Generator().manual_seed(_SEED)
    for name, tensors in seen.stages(copied.hookable):
        on_step()
        if tensors:
            _randomise(tensors, generator)
        else:
            copied = copied.with_random_head(generator)
        stages.append(_stage(name, _explained(copied, picture, wishes, on_step)))
    return Explanation((), wish.method, randomised=tuple(stages))


def _stage(name: str, outcomes: Sequence[Outcome]) -> RandomStage:
    """Without the maps that are not finite."""
    return RandomStage(
        name, tuple(each.classes[0].values if isinstance(each, Explanation) else None for each in outcomes)
    )


class _Copied(Network):
    """A network whose tensors are its own, and whose logits are those of its head, if it has one."""

    @classmethod
    def of(cls, network: Network, *, closed: bool) -> "_Copied":
        """`closed`: whether maps have a closed form; otherwise they come by autograd, and there is no head."""
        module = copy.deepcopy(network.hookable if closed else network.module)
        known = {each.name: getattr(network, each.name) for each in fields(network)}
        own = {"module": module, "hookable": module, "graph": None, "head": network.head if closed else None}
        return cls(**(known | own))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """See `Network.forward`."""
        logits, activations = self.hooked(inputs)
        return self.head.logits(activations.double()).float() if self.head else logits, activations

    def with_random_head(self, generator: torch.Generator) -> "_Copied":
        """The same network behind whose target layer everything is random."""
        assert self.head is not None  # noqa: S101 -- a closed form has one
        weight, bias = self.head.weight.clone(), self.head.bias.clone()
        _randomise([weight, bias], generator)
        return replace(self, head=replace(self.head, weight=weight, bias=bias))  # type: ignore[type-var]


@dataclass
class _Seen:
    """The layers of one forward, by their paths, in the order in which they began; `target` of them before the target
    layer had ended."""

    layers: list[str] = field(default_factory=list)
    target: int | None = None

    def stages(self, module: nn.Module) -> Iterator[tuple[str, list[Tensor]]]:
        """What becomes random in each stage, and the path of the lowest layer of it. No tensor at all stands for the
        head of a closed form."""
        places = {path: place for place, path in enumerate(self.layers)}
        owned: dict[str, list[Tensor]] = defaultdict(list)
        learned = (pair for pair in module.named_buffers() if pair[0].rpartition(".")[2] in _STATISTICS)
        for name, tensor in chain(module.named_parameters(), learned):
            owner = name
            while owner not in places:  # a layer that only lends its weights belongs to the one that used them
                owner = owner.rpartition(".")[0]
            owned[owner].append(tensor)
        ordered = sorted(owned, key=places.__getitem__, reverse=True)
        below = ordered[1:]
        if self.target is None:
            yield ordered[0], owned[ordered[0]]
        else:
            below = [path for path in ordered if places[path] < self.target]
            yield (ordered[0] if len(below) < len(ordered) else "head"), []
        for part in np.array_split(np.arange(len(below)), min(len(below), STAGES - 1) or 1):
            paths = [below[each] for each in part]
            if paths:
                yield paths[-1], [tensor for path in paths for tensor in owned[path]]


@contextmanager
def _watching(network: _Copied) -> Iterator[_Seen]:
    """What runs in the network meanwhile: once."""
    seen = _Seen()
    module = network.hookable

    def begins(path: str) -> Callable[..., None]:
        return lambda *_: seen.layers.append(path)

    def ends(*_: Any) -> None:
        seen.target = len(seen.layers)

    handles = [each.register_forward_pre_hook(begins(path)) for path, each in module.named_modules()]
    if network.head is not None:
        handles.append(module.get_submodule(network.target_layer).register_forward_hook(ends))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _explained(
    network: Network, picture: Tensor, wishes: Sequence[Options], on_step: Callable[[], None]
) -> list[Outcome]:
    """What the network says of one picture, by each of the wishes; one forward serves them all."""
    layers = network.autograd_layers(wishes[0])
    if layers:
        logits, mapper = taped(network, picture, layers)
    else:
        logits, activations = network.forward(picture)
        mapper = closed_form(network, picture, logits, activations, 1, on_step=on_step)
    answers = answer(
        logits.expand(len(wishes), -1),
        lambda rows, classes, wish: mapper(torch.zeros_like(rows), classes, wish),
        wishes,
        network.outputs,
    )
    return read(answers, to_send(answers).cpu().numpy())


def _randomise(tensors: Sequence[Tensor], generator: torch.Generator) -> None:
    """In place: weights become normal numbers of the same mean and standard deviation, and vectors (biases, scales,
    statistics) are shuffled, so that what flows through neither grows nor vanishes. The same on every device."""
    with torch.no_grad():
        for tensor in tensors:
            if tensor.dim() > 1 and tensor.is_floating_point():
                spread, mean = torch.std_mean(tensor.float(), correction=0)
                drawn = torch.empty(tensor.shape).normal_(float(mean), float(spread), generator=generator)
                tensor.copy_(drawn)
            elif tensor.dim() == 1:
                tensor.copy_(tensor[torch.randperm(len(tensor), generator=generator).to(tensor.device)])
