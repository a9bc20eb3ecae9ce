"""One job through the real producer, servers and worker, timed by the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bench import fleet
from bench.context import Bench
from bench.pictures import folder
from shared.contract import JobStatus


def elapsed_s(status: JobStatus) -> float:
    """From `created_at`, which is before the first upload, to `finished_at`, when everything is committed."""
    assert status.finished_at is not None
    return (datetime.fromisoformat(status.finished_at) - datetime.fromisoformat(status.created_at)).total_seconds()


@dataclass
class EndToEnd:
    """A side of a comparison: a job of `images` fresh pictures each time it is called."""

    bench: Bench
    images: int
    options: Mapping[str, Any]
    #: Processor milliseconds per image of each process, one entry per job.
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self) -> float:
        """Images per second of one job."""
        bench = self.bench
        workers = bench.worker
        path = folder(bench.new_folder(), self.images)
        before = fleet.usage(bench.stack, workers)
        status = bench.finish(bench.client.submit(path, **self.options).wait())
        spent = fleet.usage(bench.stack, workers).since(before)
        for name, seconds in spent.items():
            self.cpu_ms.setdefault(name, []).append(1000 * seconds / self.images)
        return self.images / elapsed_s(status)
