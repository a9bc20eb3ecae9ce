"""What camq makes of a checkpoint, a folder or a model file, without serving it."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import torch

from shared.checks.model_files import is_model_file
from shared.config import Settings
from shared.contract import ModelFile, Preprocessing
from shared.errors import ModelError, UsageError
from worker.core.checkpoint.checkpoint import open_checkpoint
from worker.core.checkpoint.guess import guess
from worker.core.model.network import Network, load_network
from worker.core.model.published import architecture
from worker.core.sources.folder import TIMM, architecture_in
from worker.models.asked import asked
from worker.models.reading import read_bounded

#: Under these keys trainers keep the name of the architecture.
_NAMING = re.compile(r"(^|\.)(arch|architecture|model_name|model|backbone)$", re.IGNORECASE)
_MOST_NOTED = 4
#: A checkpoint may name torchvision's and timm's, and never code: no `python:`, no path.
_BARE = re.compile(r"[A-Za-z0-9_.]+")


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `camq inspect` says. `classes` are their names, in order."""

    model: str
    architecture: str
    classes: tuple[str, ...]
    labels_from: str
    outputs: str
    input: dict[str, Any]
    target_layer: str
    methods: tuple[str, ...]
    reason: str
    identity_error: float | None
    ignored: tuple[str, ...]
    renamed: tuple[str, ...]
    notes: tuple[str, ...]
    #: Keys of a model file for which what is usual was taken, since nothing says them.
    assumed: tuple[str, ...] = ()


def inspect(file: str, model: str | None, settings: Settings) -> Inspected:
    """Load it as a worker would, on the processor. Without `model` the architecture is guessed from its shapes.

    Raises ModelError or UsageError with the reason.
    """
    if is_model_file(file):
        wanted = asked(msgspec.structs.replace(settings, model=file, weights=None, labels=None))
        return _said(_loaded(wanted.given, wanted.architecture, wanted.weights, wanted.labels))
    path = Path(file)
    labels = Path(settings.labels) if settings.labels else None
    if known := model or architecture_in(path):
        return _said(_loaded(ModelFile(), known, path, labels))
    found = _said(_first(path, labels))
    return msgspec.structs.replace(found, assumed=("architecture", *found.assumed))


def _first(path: Path, labels: Path | None) -> Network:
    """Of the architectures that the checkpoint's shapes or its trainer's own notes name, the first that it fits."""
    checkpoint = open_checkpoint(path, read_bounded).folded()
    noted = [value for key, value in checkpoint.index.facts.items() if _NAMING.search(key)]
    names = [name for name in (guess(checkpoint.shapes), *noted) if isinstance(name, str) and _BARE.fullmatch(name)]
    fault: ModelError | None = None
    for name in dict.fromkeys(f"{prefix}{name}" for name in names[:_MOST_NOTED] for prefix in ("", TIMM)):
        try:
            architecture(name, None)
        except (ModelError, UsageError):  # no name of an architecture, or timm is not here
            continue
        try:
            return _loaded(ModelFile(), name, path, labels)
        except ModelError as error:
            fault = fault or error
    if fault:
        raise fault
    held = ", ".join(f"{name} {tuple(shape)}" for name, shape in list(checkpoint.shapes.items())[:5])
    raise ModelError(
        f"{path} holds {len(checkpoint.shapes)} tensors that are of no architecture camq knows: {held or 'none'}, …. "
        "Name the one that they were trained with: --model NAME, timm:NAME, or python:MODULE:CALLABLE for your own code"
    )


def _input(spec: Preprocessing) -> dict[str, Any]:
    """As a model file says it: one size for a square, height and width for another."""
    told = asdict(spec)
    for name, width in (("size", told.pop("width")), ("resize_size", told.pop("resize_width"))):
        if width is not None:
            told[name] = [told[name], width]
    return told


def _loaded(given: ModelFile, architecture: str, weights: Path | None, labels: Path | None) -> Network:
    return load_network(
        architecture, weights=weights, labels=labels, device=torch.device("cpu"), read=read_bounded, given=given
    )


def _said(network: Network) -> Inspected:
    return Inspected(
        model=network.model,
        architecture=network.architecture,
        classes=network.labels,
        labels_from=network.labels_from,
        outputs=network.outputs,
        input=_input(network.spec),
        target_layer=network.target_layer,
        methods=network.methods,
        reason=network.reason,
        identity_error=network.identity_error,
        ignored=network.ignored,
        renamed=network.renamed,
        notes=network.notes,
        assumed=network.assumed,
    )
