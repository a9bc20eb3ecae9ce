"""How much of its device a worker uses."""

from dataclasses import dataclass

import psutil
import torch

from worker.devices.gpus import Utilisation


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of memory, and the share of time in which the device works (None where it does not say)."""

    total: float
    used: float
    process: float
    busy: float | None


def usage(device: torch.device, busy: Utilisation | None) -> Usage:
    """Now. On a CPU it is the host's memory and all its cores, since the last time it was asked."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Usage(total, total - free, torch.cuda.memory_reserved(device), busy() if busy else None)
    memory = psutil.virtual_memory()
    process = psutil.Process().memory_info().rss
    return Usage(memory.total, memory.total - memory.available, process, psutil.cpu_percent(None) / 100)
