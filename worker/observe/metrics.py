"""What a worker shows to Prometheus. Names follow its conventions: base units, `_total` for counters.

What belongs to the whole fleet (backlog, queues, workers) comes from the exporter (`worker/observe/exporter.py`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from typing import TYPE_CHECKING

import psutil
from prometheus_client import CollectorRegistry, Gauge, Info, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from shared.errors import CODES
from worker.devices.gpus import Utilisation
from worker.timing.measurements import SECONDS, STAGES, Measurements

if TYPE_CHECKING:
    import torch

# When a counter was made is known from the process; a second series for each counter would only cost.
disable_created_metrics()  # type: ignore[no-untyped-call]

_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
#: Counters: help, labels, and the values that exist from the start: a counter that appears only with its first event
#: hides that event from `rate`.
_COUNTERS: dict[str, tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = {
    "images": (
        "Images whose fate this worker committed.",
        ("outcome", "code"),
        [("succeeded", ""), ("cancelled", ""), *(("failed", code) for code in CODES)],
    ),
    "chunks": ("Chunks that left this worker's hands.", ("outcome",), [("committed",), ("handed_back",), ("lost",)]),
    "claims": (
        "Attempts to claim a chunk, by the ledger's answer.",
        ("answer",),
        [("claimed",), ("stale",), ("held",), ("done",), ("cancelled",), ("gone",)],
    ),
    "retries": ("Chunks claimed that had been sent before.", (), [()]),
    "lease_expiries": ("Leases that this worker's reaper found run out.", (), [()]),
    "lost_messages": ("Messages that this worker's reaper found lost.", (), [()]),
    "quarantined_chunks": ("Chunks that this worker's reaper put into quarantine.", (), [()]),
    "webhooks": (
        "Tries to send a webhook, by outcome.",
        ("outcome",),
        [("delivered",), ("retried",), ("failed",), ("outdated",)],
    ),
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of memory, and the share of time in which the device works (None where it does not say)."""

    total: float
    used: float
    process: float
    busy: float | None


class Metrics:
    """The metrics of one worker process, in a registry of their own; all that is counted comes from `measurements`."""

    def __init__(self, measurements: Measurements) -> None:
        self.registry = registry = CollectorRegistry()
        registry.register(_Measured(measurements))
        self.build = Info("camq_build", "Versions.", registry=registry)
        self.model = Info("camq_model", "What this worker serves, and where.", registry=registry)
        ProcessCollector(registry=registry)
        self.build.info({"version": version("camq"), "python": platform.python_version(), "torch": version("torch")})

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is asked for its value at each scrape."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def watch_device(self, usage: Callable[[], Usage]) -> None:
        """Memory and utilisation of the device, asked at each scrape."""
        self.registry.register(_Device(usage))


class _Measured(Collector):
    def __init__(self, measurements: Measurements) -> None:
        self._measurements = measurements

    def collect(self) -> Iterator[Metric]:
        found: dict[str, dict[tuple[str, ...], int]] = {name: dict.fromkeys(c[2], 0) for name, c in _COUNTERS.items()}
        for (name, *labels), count in self._measurements.counts().items():
            found[name][tuple(labels)] = count
        for name, (text, label_names, _) in _COUNTERS.items():
            counter = CounterMetricFamily(f"camq_{name}", text, labels=label_names)
            for values, count in found[name].items():
                counter.add_metric(values, count)
            yield counter
        yield self._stages()
        yield self._batches()

    def _stages(self) -> Metric:
        seconds = HistogramMetricFamily(
            "camq_stage_seconds",
            "Time in one stage: of an image, a micro-batch (forward) or a chunk (commit).",
            labels=["stage"],
        )
        found = self._measurements.buckets()
        for stage in STAGES:
            counts, total = found[stage]
            seconds.add_metric([stage], _cumulative(SECONDS, counts), total)
        return seconds

    def _batches(self) -> Metric:
        sizes = self._measurements.batch_sizes()
        counts = [
            sum(n for size, n in sizes.items() if low < size <= high)
            for low, high in zip((0, *_IMAGES), (*_IMAGES, float("inf")), strict=True)
        ]
        total = sum(size * n for size, n in sizes.items())
        batch = HistogramMetricFamily("camq_batch_images", "Images in a micro-batch.")
        batch.add_metric([], _cumulative(_IMAGES, counts), total)
        return batch


def _cumulative(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    """The buckets as Prometheus has them: each holds what the smaller ones hold."""
    ends = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(ends, accumulate(counts), strict=True))


class _Device(Collector):
    def __init__(self, usage: Callable[[], Usage]) -> None:
        self._usage = usage

    def collect(self) -> Iterator[GaugeMetricFamily]:
        usage = self._usage()
        memory = GaugeMetricFamily(
            "camq_device_memory_bytes", "Memory of the device (of the host, on a CPU).", labels=["kind"]
        )
        memory.add_metric(["total"], usage.total)
        memory.add_metric(["used"], usage.used)
        memory.add_metric(["process"], usage.process)
        yield memory
        busy = GaugeMetricFamily("camq_device_utilisation_ratio", "Share of time in which the device works.")
        if usage.busy is not None:
            busy.add_metric([], usage.busy)
        yield busy


def usage(device: torch.device, busy: Utilisation | None) -> Usage:
    """Now. On a CPU it is the host's memory and all its cores, since the last time it was asked."""
    if device.type == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        return Usage(total, total - free, torch.cuda.memory_reserved(device), busy() if busy else None)
    memory = psutil.virtual_memory()
    process = psutil.Process().memory_info().rss
    return Usage(memory.total, memory.total - memory.available, process, psutil.cpu_percent(None) / 100)
