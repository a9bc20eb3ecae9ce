"""What only the worker's half of camq can answer, since the producer loads no torch: asked of it as a program."""

import json
import subprocess
from typing import Any

from producer.local.session import check_packages, worker_command, worker_environment
from shared.config import Settings
from shared.errors import ModelError, UsageError

#: A large checkpoint on a slow disk takes a minute.
_MOST_S = 600


def inspected(file: str, model: str | None, settings: Settings) -> dict[str, Any]:
    """What the worker makes of a checkpoint, a folder or a model file. Raises ModelError or UsageError, as it does."""
    check_packages()
    done = subprocess.run(
        worker_command("inspect", file, *([model] if model else [])),
        env=worker_environment(settings),
        capture_output=True,
        text=True,
        timeout=_MOST_S,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"the worker's half ended with status {done.returncode}"]
        kind = UsageError if done.returncode == UsageError.exit_code else ModelError
        raise kind(last[0].removeprefix("camq worker: "))
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def as_model_file(report: dict[str, Any], weights: str) -> str:
    """A model file that says what the report says, with `weights` as its checkpoint; what was assumed is marked."""
    own = report["input"]
    top: dict[str, Any] = {"architecture": report["architecture"], "weights": weights}
    if report["labels_from"] != "ImageNet":
        top["labels"] = report["classes"]
    top |= {"outputs": report["outputs"], "target_layer": report["target_layer"]}
    if report["target_layer"] == "pool_input":  # no layer of the network's own
        del top["target_layer"]
    keys = ("size", "mean", "std", "resize", "resize_size", "interpolation", "fill", "channels", "exif", "antialias")
    table = {name: own[name] for name in keys}
    if own["squash_interpolation"] != own["interpolation"] and own["resize"] == "squash":
        table["interpolation"] = own["squash_interpolation"]
    if not own["resize"].endswith("crop"):
        del table["resize_size"]
    if not own["resize"].startswith("letterbox"):
        del table["fill"]

    def line(name: str, value: object, prefix: str = "") -> str:
        mark = "  # assumed" if prefix + name in report["assumed"] else ""
        return f"{name} = {json.dumps(value, ensure_ascii=False)}{mark}"

    lines = [line(name, value) for name, value in top.items()]
    return "\n".join([*lines, "", "[input]", *(line(name, value, "input.") for name, value in table.items()), ""])
