"""Claims one device slot for this process, before torch is imported.

A slot is a file in a folder that all workers of the machine share (a volume, between containers); who holds
its lock owns the slot. The kernel frees the lock with the process, also at `kill -9`. It is a lock of one
machine: a folder on a network file system will not do.
"""

import fcntl
import os
import time
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import structlog

from shared.config import Settings
from shared.errors import CamqError, UsageError
from worker.devices.gpus import Gpu, Inventory, allowed, driver_gpus

log = structlog.get_logger()

#: Between two looks at slots that were all taken.
_LOOK_S = 0.2


class NoSlotError(CamqError):
    """Every device slot is held by another worker; start fewer workers, or allow more per GPU."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on a GPU: the first, second … process that may use it."""

    gpu: Gpu
    number: int

    @property
    def file(self) -> str:
        """Its lock file's name."""
        return f"{self.gpu.uuid}.{self.number}.lock"


@contextmanager
def claimed(
    settings: Settings, inventory: Inventory = driver_gpus, environ: MutableMapping[str, str] = os.environ
) -> Iterator[Slot | None]:
    """This process sees the GPU of one slot and no other while the block lasts; None where it needs no slot.

    Raises NoSlotError when none becomes free within CAMQ_SLOT_WAIT_S.
    """
    slots = available(settings, inventory, environ)
    if not slots:
        yield None
        return
    slot, descriptor = _wait(_folder(settings), slots, settings.slot_wait_s)
    environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environ["CUDA_VISIBLE_DEVICES"] = slot.gpu.uuid
    log.info("device slot claimed", device=slot.gpu.name, uuid=slot.gpu.uuid, slot=slot.number)
    try:
        yield slot
    finally:
        os.close(descriptor)


def available(settings: Settings, inventory: Inventory, environ: MutableMapping[str, str]) -> list[Slot]:
    """All slots of this machine, taken or not: the first place on every GPU before the second on any."""
    if settings.device == "cpu":
        return []
    gpus = allowed(inventory(), environ)
    if not gpus and settings.device == "cuda":
        # torch may see one all the same (no driver library for NVML in the container) and says so itself if not.
        log.warning("the NVIDIA driver lists no device, so no slot is claimed; torch takes the first GPU it sees")
    return [Slot(gpu, number) for number in range(settings.slots_per_gpu) for gpu in gpus]


def _folder(settings: Settings) -> Path:
    folder = Path(settings.slots_dir) if settings.slots_dir else platformdirs.user_runtime_path("camq") / "slots"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"CAMQ_SLOTS_DIR={folder} cannot be used: {error.strerror}") from None
    return folder


def _wait(folder: Path, slots: Sequence[Slot], wait_s: float) -> tuple[Slot, int]:
    deadline = time.monotonic() + wait_s
    told = False
    while True:
        for slot in slots:
            if (descriptor := _try(folder / slot.file)) is not None:
                return slot, descriptor
        if time.monotonic() >= deadline:
            raise NoSlotError(
                f"all {len(slots)} device slots are taken (see {folder}): start fewer workers, allow more per GPU"
                " with CAMQ_SLOTS_PER_GPU, or wait longer with CAMQ_SLOT_WAIT_S"
            )
        if not told:
            log.info("waiting for a free device slot", slots=len(slots), folder=str(folder), at_most_s=wait_s)
            told = True
        time.sleep(_LOOK_S)


def _try(path: Path) -> int | None:
    """The open, locked file, or None when another process holds it. Children do not inherit it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {error.strerror}; set CAMQ_SLOTS_DIR") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    with suppress(OSError):  # for people who look into the folder; the lock is what counts
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
