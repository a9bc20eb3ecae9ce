"""What a container leaves to a worker: cores, and memory for pictures. The system kills who takes more, in silence."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

#: Control groups of version 2, and of version 1: folder and file.
_GROUPS = ((Path("/sys/fs/cgroup"), "memory.max"), (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"))
#: torch, ONNX Runtime and a network of ResNet18's size; measured: 0.7 to 1.1 GB with two picture processes.
NETWORK_BYTES = 900 << 20
PROCESS_BYTES = 100 << 20
#: Pictures get so much in any case: 20 million pixels.
LEAST_BYTES = 256 << 20


def own_files(groups: Path = Path("/proc/self/cgroup")) -> list[Path]:
    """Where this process may find its limit: in its own group, as under systemd, or at the root, as in a container."""
    own = ""
    with suppress(OSError):
        lines = [line.split(":", 2) for line in groups.read_text().splitlines()]
        own = next((path for _, kind, path in lines if kind in ("", "memory") and path != "/"), "")
    return [folder / each / name for each in (own.lstrip("/"), "") for folder, name in _GROUPS]


def limit(files: Sequence[Path] | None = None) -> int | None:
    """Bytes that this process and its neighbours in the container may take; None without a limit."""
    for file in own_files() if files is None else files:
        try:
            return int(file.read_text())
        except (OSError, ValueError):  # not there, or `max`
            continue
    return None


def room(processes: int, files: Sequence[Path] | None = None) -> int | None:
    """Bytes that the container leaves for the pictures of a worker with so many picture processes; None: no limit."""
    found = limit(files)
    return None if found is None else max(LEAST_BYTES, found - NETWORK_BYTES - processes * PROCESS_BYTES)


def shortage(processes: int, pictures: int, files: Sequence[Path] | None = None) -> str | None:
    """What it costs, and what to change, where the container leaves less than `pictures` bytes for pictures."""
    found, left = limit(files), room(processes, files)
    if found is None or left is None or found >= NETWORK_BYTES + processes * PROCESS_BYTES + pictures:
        return None
    parts = f"{_gib(NETWORK_BYTES)} for a small network, {_gib(processes * PROCESS_BYTES)} for picture processes"
    if left == LEAST_BYTES:
        then = (
            f"with {_gib(min(left, pictures))} for pictures that is more, and the system kills processes that take it"
        )
    else:
        then = f"{_gib(left)} are left for pictures instead of {_gib(pictures)}, and one that needs more is too_large"
    return (
        f"this container may take {_gib(found)} of memory; a worker takes {parts}; {then}. Raise the limit "
        "(WORKER_LIMIT in .env for compose, limits.memory on Kubernetes), or lower CAMQ_MAX_IMAGE_PIXELS or "
        "CAMQ_PICTURE_PROCESSES"
    )


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"


def cores() -> int:
    """The cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
