"""What a worker's settings ask for: an architecture, or a model file and what it names."""

import os
from pathlib import Path, PurePosixPath

import msgspec

from shared.checks.model_files import check_there, is_model_file, read_model_file
from shared.config import Settings
from shared.contract import ModelFile
from shared.errors import UsageError
from shared.storage import SCHEME
from worker.core.sources.folder import architecture_in
from worker.core.sources.own_code import PREFIX
from worker.models.weights_file import local_file

DEFAULT_MODEL = "resnet18"


class Asked(msgspec.Struct, frozen=True):
    """`given` is the model file's content, or of a bare name only that; `weights` and `labels` are files here."""

    given: ModelFile
    architecture: str
    weights: Path | None
    labels: Path | None


def asked(settings: Settings) -> Asked:
    """The model that the settings name, its files fetched. CAMQ_WEIGHTS and CAMQ_LABELS go before a model file's own.

    Without an architecture it is that of the folder of weights, where that describes one. Raises UsageError for a model
    file that cannot be used, ModelError for such a folder, and as `local_file` does.
    """
    model = settings.model
    given, base = ModelFile(architecture=model), ""
    if model and is_model_file(model):
        given, base = read_model_file(local_file(settings, model)), os.path.dirname(model)  # noqa: PTH120 -- also s3://
        given = msgspec.structs.replace(given, name=given.name or PurePosixPath(model).stem)
        if model.startswith(SCHEME) and (given.architecture or "").startswith(PREFIX):
            raise UsageError(
                f"{model} names {given.architecture}, and code is imported only for a model file on the worker's own "
                "disk, or for CAMQ_MODEL: bring the file to the worker"
            )
    weights = _found(settings, "weights", settings.weights, given.weights, base)
    return Asked(
        given,
        given.architecture or (architecture_in(weights) if weights else None) or DEFAULT_MODEL,
        weights,
        _found(settings, "labels", settings.labels, given.labels, base),
    )


def _found(settings: Settings, key: str, asked: str | None, own: object, folder: str) -> Path | None:
    """The file of the settings, else of the model file. UsageError, with the line, where that one is not there."""
    if asked or not isinstance(own, str):
        return local_file(settings, asked) if asked else None
    address = _beside(folder, own)
    found = local_file(settings, address)
    if settings.model and not address.startswith(SCHEME):
        check_there(local_file(settings, settings.model), key, found)
    return found


def _beside(folder: str, path: str) -> str:
    """A path in a model file, which is relative to that file."""
    if path.startswith((SCHEME, "/")) or not folder:
        return path
    return f"{folder}/{path}"
