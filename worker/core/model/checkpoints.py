"""Tensors into a network, and the network's fingerprint."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from shared.errors import ModelError
from worker.core.checkpoint.misfit import some


def load_strictly(module: torch.nn.Module, state: Mapping[str, Tensor], name: str) -> None:
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


def fingerprint(module: torch.nn.Module, labels: tuple[str, ...], described: str) -> str:
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
