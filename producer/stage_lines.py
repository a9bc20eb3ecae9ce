"""Where a worker's time goes, for terminal and page: what its line in `camq workers` says of its stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.contract import WorkerInfo

#: What one run of a stage is about; of all others it is one image.
_PER = {"forward": "micro-batch", "commit": "chunk"}


@dataclass(frozen=True, slots=True)
class StageLine:
    """One stage since the worker started. `mean` is in seconds, None before its first run."""

    name: str
    per: str
    times: int
    mean: float | None
    seconds: float


def stage_lines(info: WorkerInfo) -> list[StageLine]:
    """The stages in the order of an image's way."""
    return [
        StageLine(name, _PER.get(name, "image"), run.count, run.seconds / run.count if run.count else None, run.seconds)
        for name, run in info.stages.items()
    ]


def images_per_batch(sizes: Mapping[int, int]) -> float | None:
    """The average size of a micro-batch; None before the first."""
    times = sum(sizes.values())
    return sum(size * count for size, count in sizes.items()) / times if times else None
