"""`camq worker` and `workers`."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import click
import msgspec

from producer.cli.common import emit, json_option, say, services
from producer.cli.serving import checked_model, serving, serving_options
from producer.cli.tables import Table, cell, show
from producer.formatting import duration, images_per_batch, milliseconds, prepared, rate, stage_lines
from shared.config import Settings
from shared.contract import ModelCard, WorkerInfo
from shared.text import visible

#: Widest bar of a histogram, in columns.
_BAR = 24


@click.command()
@click.option(
    "--model",
    "models",
    metavar="M",
    multiple=True,
    help="Model to serve: NAME, NAME=WEIGHTS or a model file. Can be repeated: one process for each.  "
    "[default: resnet18]",
)
@serving_options
@click.option(
    "--all-devices", is_flag=True, help="Run one worker for each GPU of this machine, and restart those that die."
)
@json_option
def worker(models: tuple[str, ...], all_devices: bool, as_json: bool, **given: Any) -> None:
    """Run one worker in the foreground: one process and device, unless --model is repeated or --all-devices given.

    On SIGTERM it finishes its work or returns it to the queue, then exits. With --json, its log lines on stderr are
    JSON.

    \b
    Examples:
      camq worker --model resnet50 --device cuda
      camq worker --weights mine.pth --labels classes.txt
      camq worker --model resnet50 --model densenet121=s3://models/d.pth
    """
    from producer.local.session import check_packages, worker_command, worker_environment

    named: dict[str, Any] = {"model": models[0], "models": ""} if len(models) == 1 else {}
    if len(models) > 1:
        named = {"models": " ".join(models)}
    settings = Settings.load(**{**serving(None, given), **named, "log_format": "json" if as_json else None})
    for name in settings.models.split() or ([settings.model] if settings.model else []):
        checked_model(name.partition("=")[0])
    check_packages()
    command = worker_command(*(["fleet"] if all_devices or settings.models else []))
    # This process becomes the worker, so that signals reach it and `camq workers` lists its pid.
    os.execve(command[0], command, worker_environment(settings))  # noqa: S606 - no shell is the point


@click.command()
@click.option("--stages", is_flag=True, help="Also show the time of each stage, and micro-batches by size.")
@json_option
def workers(stages: bool, as_json: bool) -> None:
    """List the live workers.

    With --stages, also show the mean time of each stage since the worker started. Stages of different images overlap,
    so their sum is larger than the time that passed.

    \b
    Examples:
      camq workers
      camq workers --stages
      camq workers --json | jq -r '.[].state'
    """
    with services() as reach:
        found = reach.ledger.workers()
        models = dict.fromkeys(model for info in found for model in info.models)
        cards = {model: card for model in models if (card := reach.ledger.card(model))}
    if as_json:
        lines = [msgspec.to_builtins(info) if stages else _without_stages(info) for info in found]
        emit([line | {"inputs": _inputs(line["models"], cards)} for line in lines])
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
    for model, card in cards.items():
        if card.preprocessing is not None:
            click.echo(
                visible(f"{model}: {card.outputs} of {len(card.labels)} classes, {prepared(card.preprocessing)}")
            )
    for reason, count in Counter(info.waiting_for for info in found if info.waiting_for).items():
        say(f"{count} of {len(found)} wait: {reason}")
    if stages:
        for info in found:
            _show_stages(info)


def _inputs(models: list[str], cards: dict[str, ModelCard]) -> dict[str, Any]:
    """What each model was trained to see, by its name; none of what an older worker does not tell."""
    return {model: msgspec.to_builtins(cards[model].preprocessing) for model in models if model in cards}


def _without_stages(info: WorkerInfo) -> dict[str, Any]:
    line: dict[str, Any] = msgspec.to_builtins(info)
    return {name: value for name, value in line.items() if name not in ("stages", "batch_sizes")}


def _show_stages(info: WorkerInfo) -> None:
    """One worker: a heading, the time of each stage of its work, its micro-batches by size."""
    models = ", ".join(info.models) or "no model yet"
    click.echo("\n" + visible(f"{info.host} pid {info.pid}, {models}, {info.device or info.state}"))
    rows = Table("stage", "per", "times", "mean", "in all", numbers=["times", "mean", "in all"])
    for line in stage_lines(info):
        mean = "-" if line.mean is None else milliseconds(line.mean)
        rows.add_row(line.name, line.per, f"{line.times:,}", mean, duration(line.seconds))
    show(rows)
    average = images_per_batch(info.batch_sizes)
    if average is None:
        return
    click.echo(f"micro-batches: {average:.1f} images on average")
    rows = Table("images", "times", "", numbers=["images", "times"])
    most = max(info.batch_sizes.values())
    for size, times in info.batch_sizes.items():
        rows.add_row(cell(size), f"{times:,}", "█" * max(1, round(_BAR * times / most)))
    show(rows)
