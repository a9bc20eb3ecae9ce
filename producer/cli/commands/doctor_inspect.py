"""`camq doctor` and `inspect`: what is wrong with the servers, and what camq makes of a checkpoint."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from producer.cli.common import busy, emit, json_option, say
from producer.formatting import prepared
from shared.config import Settings
from shared.contract import Preprocessing
from shared.errors import UsageError
from shared.text import visible

if TYPE_CHECKING:
    from producer.local.doctor import Check

#: More names than that say nothing more to somebody who looks whether they are the right ones.
_MOST_NAMES = 8


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check Redis, storage, weights, device and versions, and say how to fix what is wrong.

    \b
    Example:
      camq doctor
    """
    from producer.local.doctor import examine, exit_status

    checks = []
    for check in examine(Settings.load()):
        checks.append(check)
        if not as_json:
            _print(check)
    if as_json:
        emit({"ok": not exit_status(checks), "checks": checks})
    return exit_status(checks)


def _print(check: Check) -> None:
    """One line for the check and one for its remedy, wrapped under the detail."""
    lines = [check.detail] if check.ok or not check.remedy else [check.detail, f"→ {check.remedy}"]
    head = f"{'ok' if check.ok else 'FAIL':<6}{check.name:<10}"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100_000
    for line in lines:
        text = textwrap.wrap(visible(line), max(width - len(head), 20), break_on_hyphens=False)
        for part in text:
            click.echo(head + part)
            head = " " * len(head)


@click.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--model", metavar="M", help="Architecture of the checkpoint.  [default: recognised by the shapes of its tensors]"
)
@click.option(
    "--labels", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Class names, as for `camq run`."
)
@click.option(
    "--write", metavar="FILE.toml", help="Also write a model file that says the same, to be edited and served."
)
@json_option
def inspect(file: str, model: str | None, labels: str | None, write: str | None, as_json: bool) -> None:
    """Say what camq makes of a checkpoint, a folder of weights or a model file. Starts nothing.

    \b
    Examples:
      camq inspect mine.pth
      camq inspect run.ckpt#ema --model resnet50 --write pets.toml
      camq inspect pets.toml
    """
    from producer.local.worker_half import as_model_file, inspected

    if not any(name and Path(name).exists() for name in (file, file.rpartition("#")[0])):
        raise UsageError(f"there is no file {file}: expected a checkpoint, a folder of weights or a model file")
    if write and not write.lower().endswith(".toml"):
        raise UsageError(f"invalid --write {write!r}: expected a name that ends in .toml")
    with busy(f"reading {file}: loading torch, building the network and running it once take some seconds"):
        report = inspected(file, model, Settings.load(labels=labels))
    if write:
        text = as_model_file(report, os.path.relpath(file, Path(write).parent))
        if Path(write).exists() and Path(write).read_text("utf-8", "replace") != text:
            raise UsageError(f"{write} is there and says something else: delete it, or write another file")
        Path(write).write_text(text, "utf-8")
        say(f"wrote {write}; check under [input] how pictures are prepared, which a checkpoint does not say")
        say(f"then: camq run PICTURES --model {write}")
    if as_json:
        emit(report)
        return
    for name, value in _lines(report, Path(write).stem if write else ""):
        click.echo(visible(f"{name:<15} {value}"))


def _lines(report: dict[str, Any], written: str) -> list[tuple[str, str]]:
    """`written` is the name of the model file, which the model goes by then."""
    names = report["classes"]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    error = report["identity_error"]
    assumed = report["assumed"]
    guessed = "  (assumed, since its tensors have these shapes)" if "architecture" in assumed else ""
    of_input = [name.removeprefix("input.") for name in assumed if name.startswith("input.")]
    rows = [
        ("architecture", report["architecture"] + guessed),
        ("served as", f"{written}@…" if written else report["model"]),
        ("classes", f"{len(names)}: {', '.join(names[:_MOST_NAMES])}{more} (from: {report['labels_from']})"),
        ("outputs", report["outputs"] + ("  (assumed)" if "outputs" in assumed else "")),
        ("input", prepared(_preprocessing(report["input"]))),
        ("  assumed of it", ", ".join(of_input) + "; a checkpoint does not say them" if of_input else ""),
        ("target layer", report["target_layer"]),
        ("methods", ", ".join(report["methods"])),
        ("why no others", report["reason"]),
        ("identity error", "" if error is None else f"{error:.1e}"),
        ("renamed", "; ".join(report["renamed"])),
        ("ignored", ", ".join(report["ignored"])),
        *(("note", note) for note in report["notes"]),
    ]
    return [(name, value) for name, value in rows if value]


def _preprocessing(told: dict[str, Any]) -> Preprocessing:
    found = dict(told)
    for name, other in (("size", "width"), ("resize_size", "resize_width")):
        if isinstance(told[name], list):
            found[name], found[other] = told[name]
    return msgspec.convert(found, Preprocessing)
