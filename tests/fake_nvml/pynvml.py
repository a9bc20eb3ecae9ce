"""Stands in NVML's place: as an object in a test, and as the module `pynvml` in a process that finds this folder first.

The process's GPUs are those of TEST_GPUS: `GPU-a GPU-b:MIG-c,MIG-d`, the second one split in two.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace


class NVMLError(Exception):
    """Every refusal."""


class NVMLError_NotFound(NVMLError):  # noqa: N801, N818 - NVML's own name
    """There is no such device."""


@dataclass
class Card:
    """A GPU, and its MIG instances by their place, if it is split."""

    uuid: str
    parts: dict[int, str] | None = None
    busy: int = 0
    name: str = "NVIDIA A100-SXM4-40GB"
    lost: bool = False


@dataclass
class Nvml:
    """What camq asks of NVML. A handle is a UUID."""

    cards: list[Card] | None = field(default_factory=list)
    #: Called with each question; may hang.
    before: Callable[[], None] = lambda: None
    NVMLError = NVMLError
    NVMLError_NotFound = NVMLError_NotFound

    def nvmlInit(self) -> None:  # noqa: N802
        self.before()
        if self.cards is None:
            raise NVMLError("NVML Shared Library Not Found")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards or [])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        card = (self.cards or [])[index]
        if card.lost:
            raise NVMLError("GPU is lost")
        return card.uuid

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        self._card(uuid)
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        card = self._card(handle)
        return card.name if card.uuid == handle else f"{card.name} MIG 3g.20gb"

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:  # noqa: N802
        card = self._card(handle)
        if card.name.startswith("NVIDIA GeForce"):
            raise NVMLError("Not Supported")
        return [int(card.parts is not None), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:  # noqa: N802
        parts = self._card(handle).parts or {}
        if index not in parts:
            raise NVMLError_NotFound("Not Found")
        return parts[index]

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:  # noqa: N802
        card = self._card(handle)
        if card.uuid != handle:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=card.busy)

    def _card(self, handle: str) -> Card:
        for card in self.cards or []:
            if handle == card.uuid or handle in (card.parts or {}).values():
                return card
        raise NVMLError_NotFound("Not Found")


def _card(text: str) -> Card:
    uuid, _, parts = text.partition(":")
    return Card(uuid, dict(enumerate(parts.split(","))) if parts else None)


_here = Nvml([_card(text) for text in os.environ["TEST_GPUS"].split()] if "TEST_GPUS" in os.environ else None)
globals().update({name: getattr(_here, name) for name in dir(_here) if name.startswith("nvml")})
