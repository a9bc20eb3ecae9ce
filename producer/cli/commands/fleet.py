"""`camq worker` and `workers`: those who do the work."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
import msgspec

from producer.cli.common import emit, json_option, services
from producer.cli.tables import Table, cell, show
from producer.cli.values import Choice
from producer.formatting import rate
from shared.config import Settings
from shared.contract import WorkerInfo
from shared.storage.port import SCHEME


class _Weights(click.Path):
    """A file that is there, or an address that the worker will look at."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if str(value).startswith(SCHEME) else super().convert(value, param, ctx)


WEIGHTS = _Weights(exists=True, dir_okay=False)

#: How a worker is told what to serve; `up` and `run` start workers as well.
_SERVING: tuple[Callable[[Any], Any], ...] = (
    click.option("--weights", metavar="FILE", type=WEIGHTS, help=".pth or .safetensors; also at s3://bucket/key."),
    click.option("--labels", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="One class per line."),
    click.option("--device", type=Choice(["auto", "cpu", "cuda"]), help="Where the network runs.  [default: auto]"),
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


@click.command()
@click.option(
    "--model",
    "models",
    metavar="M",
    multiple=True,
    help="Network to serve.  [default: resnet18]  Several (NAME or NAME=WEIGHTS): one process each, on every GPU.",
)
@serving_options
@click.option(
    "--all-devices", is_flag=True, help="One worker for each GPU of this machine; those that die are replaced."
)
@json_option
def worker(models: tuple[str, ...], all_devices: bool, as_json: bool, **given: Any) -> None:
    """Run one worker in the foreground: one process, one device.

    SIGTERM lets it finish or hand back what it holds. With --json, its log lines (on stderr) are JSON.

    \b
    Examples:
      camq worker --model resnet50 --device cuda
      camq worker --weights mine.pth --labels classes.txt
      camq worker --model resnet50 --model densenet121=s3://models/d.pth
    """
    from producer.local.session import worker_command, worker_environment

    named: dict[str, Any] = {"model": models[0], "models": ""} if len(models) == 1 else {}
    if len(models) > 1:
        named = {"models": " ".join(models)}
    settings = Settings.load(**{**serving(None, given), **named, "log_format": "json" if as_json else None})
    command = worker_command(*(["fleet"] if all_devices or settings.models else []))
    # The same process becomes the worker, so that signals and `pid` in `camq workers` mean what they say.
    os.execve(command[0], command, worker_environment(settings))  # noqa: S606 - no shell is the point


@click.command()
@click.option("--stages", is_flag=True, help="Also where each one's time goes, and its micro-batches by size.")
@json_option
def workers(stages: bool, as_json: bool) -> None:
    """List the live workers.

    With --stages, how long each stage of the work took on average since the worker started. Stages of several
    images overlap, so that their sum is more than the time that passed.

    \b
    Examples:
      camq workers
      camq workers --stages
      camq workers --json | jq -r '.[].state'
    """
    from producer.cli.commands.stages import show_stages

    with services() as reach:
        found = reach.ledger.workers()
    if as_json:
        emit(found if stages else [_without_stages(info) for info in found])
        return
    if not found:
        click.echo("no workers; start one with `camq worker`, or everything with `camq up`")
        return
    rows = Table(
        *("worker", "host", "pid", "device", "models", "state", "rate", "done"),
        numbers=["pid", "rate", "done"],
        fold=["device", "models"],
        drop=["worker", "done", "host", "device"],
    )
    for info in found:
        done = f"{info.images_done:,}"
        values = (info.worker, info.host, info.pid, info.device, ", ".join(info.models), info.state)
        rows.add_row(*map(cell, (*values, rate(info.images_per_second), done)))
    show(rows)
    if stages:
        for info in found:
            show_stages(info)


def _without_stages(info: WorkerInfo) -> dict[str, Any]:
    line: dict[str, Any] = msgspec.to_builtins(info)
    return {name: value for name, value in line.items() if name not in ("stages", "batch_sizes")}
