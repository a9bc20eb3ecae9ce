"""Options that say what a worker serves, for `worker`, `up` and `run`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from producer.cli.parameters import choice
from shared.checks.architectures import check_architecture
from shared.checks.model_files import is_model_file, read_model_file
from shared.storage.port import SCHEME


class _Weights(click.Path):
    """An existing file or folder, with a `#KEY` or without, or an s3:// address that the worker reads."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path, key, _ = str(value).rpartition("#")
        if str(value).startswith(SCHEME) or (key and Path(path).exists()):
            return value
        return super().convert(value, param, ctx)


_SERVING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--weights",
        metavar="FILE",
        type=_Weights(exists=True),
        help="Checkpoint of the model, here or at s3://bucket/key; FILE#KEY takes its entry KEY, as in run.ckpt#ema.",
    ),
    click.option(
        "--labels",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
        help="Class names: one per line, `index,name` per line, or JSON.",
    ),
    click.option(
        "--device", type=choice(["auto", "cpu", "cuda"]), help="Device that runs the network.  [default: auto]"
    ),
)


def serving_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--weights`, `--labels` and `--device`."""
    for option in reversed(_SERVING):
        function = option(function)
    return function


def serving(model: str | None, given: dict[str, Any]) -> dict[str, str | None]:
    """The settings behind those options. Files as absolute paths: a worker may run in another folder.

    UsageError for a model that no worker could serve, before anything starts: one takes seconds to say so.
    """
    files = {
        name: given[name] if given[name].startswith(SCHEME) else os.path.abspath(given[name])  # noqa: PTH100
        for name in ("weights", "labels")
        if given[name]
    }
    return {"model": model and checked_model(model), "device": given["device"], **files}


def checked_model(model: str) -> str:
    """The model as a worker in another folder finds it. UsageError for one that no worker could serve."""
    if model.startswith(SCHEME):
        return model
    if is_model_file(model):
        read_model_file(Path(model))
        return os.path.abspath(model)  # noqa: PTH100
    check_architecture(model)
    return model
