"""Which GPUs this machine has, asked of `nvidia-smi` and never of CUDA, so that nothing is initialised yet."""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

#: A driver that hangs must not keep a worker from saying so.
_TIMEOUT_S = 30.0
_LINE = re.compile(r"^(?P<indent>\s*)(?P<kind>GPU|MIG) (?P<name>.*?)\s*\(UUID: (?P<uuid>\S+)\)\s*$")
_NUMBER = re.compile(r"^\d+: ")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device that a process can own: a whole GPU, or one MIG instance of it.

    `index` is the number of the (parent) GPU in the order of the PCI bus.
    """

    uuid: str
    name: str
    index: int


#: Lists the devices; the port whose adapter is `nvidia_smi` and whose test adapter is a list.
Inventory = Callable[[], list[Gpu]]


def nvidia_smi() -> list[Gpu]:
    """The devices that the driver shows to this process; none when there is no driver."""
    return parse(_ask("-L") or "")


def parse(listing: str) -> list[Gpu]:
    """The devices in the answer of `nvidia-smi -L`. A GPU that is split stands for its MIG instances alone."""
    found: list[Gpu] = []
    split: set[int] = set()
    index = -1
    for line in listing.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        if match["kind"] == "GPU":
            index += 1
            name = _NUMBER.sub("", match["name"])
        else:
            split.add(index)
            name = "MIG " + re.sub(r"\s+Device\s+\d+:$", "", match["name"])
        found.append(Gpu(match["uuid"], name, index))
    return [gpu for gpu in found if gpu.uuid.startswith("MIG-") or gpu.index not in split]


def allowed(gpus: list[Gpu], environ: Mapping[str, str]) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves over, in its order, if the operator has set it.

    It names GPUs by number or by the beginning of their UUID. As CUDA does, the first name that fits
    nothing ends the list.
    """
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return gpus
    chosen: list[Gpu] = []
    for name in filter(None, (part.strip() for part in wanted.split(","))):
        fits = [g for g in gpus if (g.index == int(name) if name.isdigit() else g.uuid.startswith(name))]
        if not fits:
            break
        chosen += [gpu for gpu in fits if gpu not in chosen]
    return chosen


def utilisation(uuid: str) -> float | None:
    """The share of the last second or so in which the GPU worked; None where it does not say (MIG does not)."""
    answer = _ask("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"--id={uuid}")
    try:
        return int((answer or "").strip()) / 100
    except ValueError:
        return None


def _ask(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        log.warning("nvidia-smi does not answer", seconds=_TIMEOUT_S)
        return None
    if done.returncode:
        log.debug("nvidia-smi failed", status=done.returncode, reason=done.stderr.strip() or done.stdout.strip())
        return None
    return done.stdout
