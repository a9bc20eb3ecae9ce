"""Options that say what a worker serves, for `worker`, `up` and `run`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from producer.cli.parameters import choice
from shared.storage.port import SCHEME


class _Weights(click.Path):
    """An existing file, or an s3:// address that the worker reads."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if str(value).startswith(SCHEME) else super().convert(value, param, ctx)


_SERVING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--weights",
        metavar="FILE",
        type=_Weights(exists=True, dir_okay=False),
        help="Weights of the model: a .pth or .safetensors file, or s3://bucket/key.",
    ),
    click.option(
        "--labels",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
        help="Text file with one class name per line.",
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
    """The settings behind those options. Files as absolute paths: a worker may run in another folder."""
    files = {
        name: given[name] if given[name].startswith(SCHEME) else os.path.abspath(given[name])  # noqa: PTH100
        for name in ("weights", "labels")
        if given[name]
    }
    return {"model": model, "device": given["device"], **files}
