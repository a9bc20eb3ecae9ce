"""Checkpoints: state dicts in files that others wrote, read, fitted into a network, fingerprinted."""

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from shared.errors import ModelError

#: Under these keys training scripts put the state dict beside their optimiser's.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
#: What DataParallel, Lightning-like wrappers and torch.compile put before every name.
_PREFIXES = ("module.", "model.", "_orig_mod.")
#: A few names show what kind of mismatch it is; a thousand hide it.
_NAMES_SHOWN = 4
#: More than ten times those of the largest network of torchvision.
MOST_TENSORS = 20_000
#: The list of tensors, without their numbers.
_MOST_INDEX_BYTES = 10_000_000


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a `.pth`, `.pt` or `.safetensors` file, unwrapped, its names without wrappers' prefixes.

    Pickles are read with `weights_only`, so that a file cannot run code. Raises ModelError otherwise.
    """
    if not path.is_file():
        raise ModelError(f"there is no weights file {path}")
    _check_file(path)
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is not a file of tensors alone, and camq does not run code from weights files "
            "(weights_only); save the state dict: torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # foreign bytes trip torch's readers in any way: KeyError, RuntimeError, OSError, …
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise ModelError(f"{path} cannot be read as weights: {reason}") from error
    return _unwrap(loaded, path)


def _check_file(path: Path) -> None:
    """ModelError for a file that would unpack to far more than its own bytes, or that lists endless tensors."""
    large = f"{path} lists more tensors than a network has"
    try:
        if path.suffix == ".safetensors":
            with path.open("rb") as file:
                if _MOST_INDEX_BYTES < int.from_bytes(file.read(8), "little") < path.stat().st_size:
                    raise ModelError(large)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ModelError(f"{path} has compressed entries, which torch.save does not write: save it again")
            if any(entry.filename.endswith("data.pkl") and entry.file_size > _MOST_INDEX_BYTES for entry in entries):
                raise ModelError(large)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"{path} cannot be read as weights: {error}") from error


def _check_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """ModelError for tensors that are larger than the numbers that stand in the file, and for far too many."""
    if len(state) > MOST_TENSORS:
        raise ModelError(f"{path} holds {len(state):,} tensors, more than {MOST_TENSORS:,}")
    for name, tensor in state.items():
        held = tensor.untyped_storage().nbytes() if tensor.layout is torch.strided and not tensor.is_meta else -1
        if tensor.numel() * tensor.element_size() > held:
            raise ModelError(
                f"{path}: {name} of shape {tuple(tensor.shape)} is not stored in full: save the state dict with each "
                "tensor made contiguous"
            )


def _unpickle(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _unwrap(loaded: Any, path: Path) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(x, Tensor) for x in loaded.values()):
        raise ModelError(
            f"{path} holds no state dict: expected a mapping from names to tensors, bare or under "
            + ", ".join(f"{key!r}" for key in _WRAPPERS)
        )
    state = {str(name): tensor for name, tensor in loaded.items()}
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    _check_tensors(state, path)
    return state


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
        f"{kind} {_some(names)}"
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


def _some(names: list[str]) -> str:
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def fingerprint(module: torch.nn.Module, labels: tuple[str, ...]) -> str:
    """12 hex digits that name weights and labels: SHA-256 over sorted names, dtypes, shapes and bytes, then labels."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    for label in labels:
        digest.update(f"{label}\n".encode())
    return digest.hexdigest()[:12]
