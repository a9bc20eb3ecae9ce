"""Which GPUs this machine has, asked of the driver by NVML and never of CUDA, so that nothing is initialised yet."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any

import pynvml
import structlog

log = structlog.get_logger()

#: A driver that hangs must not keep a worker from saying so.
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device that a process can own: a whole GPU, or one MIG instance of it.

    `index` is the number of the (parent) GPU in the order of the PCI bus.
    """

    uuid: str
    name: str
    index: int


#: Lists the devices; the port whose adapter is `driver_gpus` and whose test adapter is a list.
Inventory = Callable[[], list[Gpu]]


def driver_gpus(nvml: Any = pynvml, timeout_s: float = _TIMEOUT_S) -> list[Gpu]:
    """The devices that the driver shows to this process; none when there is no driver, or it does not answer."""
    found: list[Gpu] = []
    answered = Event()

    def ask() -> None:
        with suppress(nvml.NVMLError):
            nvml.nvmlInit()
            for index in range(nvml.nvmlDeviceGetCount()):
                found.extend(_devices(nvml, index))
        answered.set()

    # A thread that hangs in the driver cannot be ended; as a daemon it keeps nobody waiting.
    Thread(target=ask, name="nvml", daemon=True).start()
    if not answered.wait(timeout_s):
        log.warning("the NVIDIA driver does not answer", seconds=timeout_s)
        return []
    return found


def _devices(nvml: Any, index: int) -> list[Gpu]:
    """A GPU, or if it is split its MIG instances alone."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        parts = _instances(nvml, handle) or [handle]
        return [Gpu(nvml.nvmlDeviceGetUUID(part), nvml.nvmlDeviceGetName(part), index) for part in parts]
    except nvml.NVMLError as error:
        log.warning("a GPU does not answer and is left out", index=index, reason=str(error))
        return []


def _instances(nvml: Any, handle: Any) -> list[Any]:
    try:
        is_split, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return []  # a GPU that cannot be split
    found = []
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if is_split else 0):
        with suppress(nvml.NVMLError_NotFound):  # a place that holds none
            found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
    return found


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


class Utilisation:
    """How busy one GPU is. Of several who ask at once one waits for the driver: one that hangs costs one thread."""

    def __init__(self, uuid: str, nvml: Any = pynvml) -> None:
        self._uuid = uuid
        self._nvml = nvml
        self._asking = Lock()

    def __call__(self) -> float | None:
        """The share of the last second or so in which it worked; None where it does not say (MIG does not)."""
        if not self._asking.acquire(blocking=False):
            return None
        try:
            self._nvml.nvmlInit()
            handle = self._nvml.nvmlDeviceGetHandleByUUID(self._uuid)
            return float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
        except self._nvml.NVMLError:
            return None
        finally:
            self._asking.release()
