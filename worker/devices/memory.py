"""Whether a container's limit on memory leaves a worker enough: the system kills one that takes more, in silence."""

from collections.abc import Sequence
from pathlib import Path

#: Where a container finds its limit: control groups of version 2, and of version 1.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
#: torch, ONNX Runtime and a network of ResNet18's size; measured: 0.7 to 1.1 GB with two picture processes.
NETWORK_BYTES = 900 << 20
PROCESS_BYTES = 100 << 20


def limit(files: Sequence[Path] = _LIMITS) -> int | None:
    """Bytes that this process and its neighbours in the container may take; None without a limit."""
    for file in files:
        try:
            return int(file.read_text())
        except (OSError, ValueError):  # not there, or `max`
            continue
    return None


def shortage(processes: int, pictures: int, files: Sequence[Path] = _LIMITS) -> str | None:
    """What to change where a worker of so many picture processes, whose pictures may take `pictures` bytes at once,
    does not fit into the container; None where it does."""
    found, needed = limit(files), NETWORK_BYTES + processes * PROCESS_BYTES + pictures
    if found is None or found >= needed:
        return None
    parts = f"{_gib(NETWORK_BYTES)} for a small network, {_gib(processes * PROCESS_BYTES)} for picture processes"
    return (
        f"this container may take {_gib(found)} of memory, and a worker with these settings may take {_gib(needed)} "
        f"({parts}, {_gib(pictures)} for pictures): the system kills it when it does. Raise the limit (WORKER_LIMIT in "
        ".env for compose, limits.memory on Kubernetes), or lower CAMQ_MAX_IMAGE_PIXELS or CAMQ_PICTURE_PROCESSES"
    )


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
