"""What a worker tells Prometheus. Names follow its conventions: base units, `_total` for counters.

What belongs to the whole fleet (backlog, queues, workers) is told once, by the exporter (`worker/observe/exporter.py`).
"""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.errors import CODES
from worker.observe.device_usage import Usage
from worker.timing.stages import STAGES, Stage

# When a counter was made is told once for the process; a second series for each counter would only cost.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: From a JPEG header to a download that waits for an outage to end.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All counters of one worker process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.images = Counter(
            "camq_images", "Images whose fate this worker committed.", ["outcome", "code"], registry=registry
        )
        self.chunks = Counter("camq_chunks", "Chunks that left this worker's hands.", ["outcome"], registry=registry)
        self.claims = Counter(
            "camq_claims", "Attempts to claim a chunk, by the ledger's answer.", ["answer"], registry=registry
        )
        self.retries = Counter("camq_retries", "Chunks claimed that had been sent before.", registry=registry)
        self.expiries = Counter(
            "camq_lease_expiries", "Leases that this worker's reaper found run out.", registry=registry
        )
        self.lost_messages = Counter(
            "camq_lost_messages", "Messages that this worker's reaper found lost.", registry=registry
        )
        self.quarantined = Counter(
            "camq_quarantined_chunks", "Chunks that this worker's reaper put into quarantine.", registry=registry
        )
        self.webhooks = Counter("camq_webhooks", "Tries to send a webhook, by outcome.", ["outcome"], registry=registry)
        self.seconds = Histogram(
            "camq_stage_seconds", "Time in one stage: of an image, a micro-batch (forward) or a chunk (commit).",
            ["stage"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.batch = Histogram("camq_batch_images", "Images in a micro-batch.", buckets=_IMAGES, registry=registry)
        self.build = Info("camq_build", "Versions.", registry=registry)
        self.model = Info("camq_model", "What this worker serves, and where.", registry=registry)
        ProcessCollector(registry=registry)
        self._start_at_zero()
        self.build.info({"version": version("camq"), "python": platform.python_version(), "torch": version("torch")})

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is asked for its value at each scrape."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def watch_device(self, usage: Callable[[], Usage]) -> None:
        """Memory and utilisation of the device, asked at each scrape."""
        self.registry.register(_Device(usage))

    def timed(self, stage: Stage) -> Stage:
        """`stage`, with each of its times in the histogram too."""
        observers = {name: self.seconds.labels(name).observe for name in STAGES}

        @contextmanager
        def both(name: str) -> Iterator[None]:
            started = time.perf_counter()
            try:
                with stage(name):
                    yield
            finally:
                observers[name](time.perf_counter() - started)

        return both

    def _start_at_zero(self) -> None:
        """A counter that appears only with its first event hides that event from `rate`."""
        for outcome in ("succeeded", "cancelled"):
            self.images.labels(outcome, "")
        for code in CODES:
            self.images.labels("failed", code)
        for stage in STAGES:
            self.seconds.labels(stage)
        for outcome in ("committed", "handed_back", "lost"):
            self.chunks.labels(outcome)
        for answer in ("claimed", "stale", "held", "done", "cancelled", "gone"):
            self.claims.labels(answer)
        for outcome in ("delivered", "retried", "failed", "outdated"):
            self.webhooks.labels(outcome)


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
