"""A checkpoint's tensors in the network that they were saved from, and the network's fingerprint."""

import hashlib
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from shared.errors import ModelError
from worker.core.checkpoint.checkpoint import Checkpoint
from worker.core.checkpoint.fit import Fit, Matcher, grouped
from worker.core.checkpoint.misfit import misfit, some
from worker.core.checkpoint.normalisation import normalisation
from worker.core.checkpoint.trained_head import BESIDE
from worker.core.sources.architecture import Architecture
from worker.core.sources.own_code import OwnCode
from worker.core.sources.transformers_class import TransformersClass

NORMALISED = "pictures are normalised by {} and the std beside it, as the trained network's own first layer does"


@dataclass(frozen=True, eq=False)
class Assembled:
    """The network with its weights, and what was made of the checkpoint's names. `classes` is 0 where a run must say.

    `notes` are sentences for people: what was chosen where there was a choice, and what had to be assumed.
    `normalised` are mean and std of a first layer that only normalises, which the network here is without.
    """

    module: nn.Module
    classes: int
    channels: int = 3
    ignored: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    normalised: tuple[tuple[float, ...], tuple[float, ...]] | None = None


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Copy `state` into `module`. Raises ModelError, naming what differs, unless names and shapes all match."""
    own = module.state_dict()
    # Batch counters mean nothing in eval mode, and checkpoints of old releases have none.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    reshaped = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        f"{kind} {some(names)}"
        for kind, names in (("missing:", missing), ("unexpected:", unexpected), ("other shape:", reshaped))
        if names
    ]
    if problems:
        raise ModelError(
            f"the weights do not fit {name}: {'; '.join(problems)}. Give the architecture that they were trained "
            "with as the model, and its unchanged state dict as the weights"
        )
    filled = {**own, **state}
    # Layers read their format's version here (MNASNet refuses to load without); names match, so ours are right.
    filled = type(own)(filled)
    filled._metadata = own._metadata  # type: ignore[attr-defined]
    module.load_state_dict(filled)


#: A head that was replaced by a smaller one is the most that a description may have beyond its weights.
_MOST_BEYOND = 4
#: Numbers beside its weights that a network may compute with while it is built.
_ROOM = 1 << 22
#: Buffers that a network computes by itself; some releases of their libraries store them, and others do not.
_COMPUTED = re.compile(
    r"(^|\.)(relative_position_index|relative_coords_table|attn_mask|position_ids|num_batches_tracked|total_\w+)$"
)


def restored(source: Architecture, checkpoint: Checkpoint) -> Assembled | str:
    """The network of a source that knows its weights' names. What does not fit, where its head was replaced.

    Raises ModelError where the source describes another network than the checkpoint is of.
    """
    if not isinstance(source, OwnCode):  # whose code is trusted, and need not run twice
        _check_size(source, checkpoint)
    if isinstance(source, TransformersClass):
        module, ignored = source.loaded({name: checkpoint.read(name) for name in checkpoint.shapes})
        return Assembled(module, 0, channels_of(module), tuple(grouped(ignored)), notes=source.notes)
    module = source.build(checkpoint.shapes)
    fit = _fill(module, checkpoint, source.name)
    if isinstance(fit, str):
        return fit
    if left := _strays(fit, checkpoint):
        raise ModelError(misfit(source.name, checkpoint, checkpoint.shapes, f"unexpected: {some(left)}"))
    used, channels = set(fit.names.values()), channels_of(module)
    ignored = [key for key in checkpoint.shapes if key not in used and not _COMPUTED.search(key)]
    mean, normalised = normalisation(ignored, checkpoint.shapes, checkpoint.read, channels)
    return Assembled(
        module=module,
        classes=0,
        channels=channels,
        ignored=tuple(grouped(ignored)),
        renamed=(f"{fit.root}* → *",) if fit.root else (),
        notes=(*source.notes, *[NORMALISED.format(mean)] * bool(mean)),
        normalised=normalised,
    )


def channels_of(module: nn.Module) -> int:
    """How many channels its pictures have."""
    return next((layer.in_channels for layer in module.modules() if isinstance(layer, nn.Conv2d)), 3)


class _Counted(TorchDispatchMode):
    """Inside, tensors of `most` numbers in all may be made, and then none any more."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most, self.numbers = most, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if args and isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0]):
            self.numbers += math.prod(args[0])  # one that makes a tensor of nothing has its shape in front
        if self.numbers > self._most:
            raise MemoryError
        return func(*args, **(kwargs or {}))


def _check_size(source: Architecture, checkpoint: Checkpoint) -> None:
    """ModelError before a description far larger than its weights takes the memory of this machine."""
    held = sum(place.count for place in checkpoint.index.tensors.values())
    counted = _Counted(_MOST_BEYOND * held + _ROOM)
    try:
        with torch.device("meta"):
            numbers = sum(each.numel() for each in source.build(checkpoint.shapes).parameters())
    except (ModelError, NotImplementedError, RuntimeError):  # some networks compute while they are built
        with suppress(ModelError), counted:
            source.build(checkpoint.shapes)
        numbers = counted.numbers if counted.numbers > _MOST_BEYOND * held + _ROOM else 0
    if numbers > _MOST_BEYOND * held:
        raise ModelError(
            f"{source.name} is described as a network of {numbers:,} numbers, but {checkpoint.path} holds {held:,}"
        )


def _fill(module: nn.Module, checkpoint: Checkpoint, name: str) -> Fit | str:
    """Put a checkpoint into the network that it was saved from, wherever in the file its tensors lie.

    What is wrong, for people, where a tensor of the network is missing; nothing is changed then.
    """
    own = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    fit = Matcher(checkpoint.shapes).fit(own)
    missing = [key for key in fit.missing if not _COMPUTED.search(key)]
    if missing:
        return f"missing: {some(missing)}"
    state = {ours: checkpoint.read(theirs) for ours, theirs in fit.names.items()}
    load_strictly(module, {**{key: module.state_dict()[key] for key in fit.missing}, **state}, name)
    return fit


def _strays(fit: Fit, checkpoint: Checkpoint) -> list[str]:
    """Tensors beside the network's own that its trainer's network must have computed with."""
    used = set(fit.names.values())
    return [
        key
        for key in checkpoint.shapes
        if key.startswith(fit.root) and key not in used and not _COMPUTED.search(key) and not BESIDE.search(key)
    ]


def fingerprint(module: nn.Module, labels: tuple[str, ...], described: str) -> str:
    """12 hex digits that name all that an answer depends on: SHA-256 over sorted names, dtypes, shapes and bytes of the
    weights, then the labels, then `described`: architecture, outputs, target layer and preprocessing."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    for label in labels:
        digest.update(f"{label}\n".encode())
    digest.update(described.encode())
    return digest.hexdigest()[:12]
