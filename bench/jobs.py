"""Jobs through the real producer, servers and workers, timed by the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bench import fleet
from bench.context import Bench
from bench.pictures import folder
from shared.contract import JobStatus


def elapsed_s(jobs: Sequence[JobStatus]) -> float:
    """From the first `created_at`, which is before any upload, to the last `finished_at`, when all is committed."""
    begun = min(datetime.fromisoformat(status.created_at) for status in jobs)
    return (max(datetime.fromisoformat(status.finished_at or "") for status in jobs) - begun).total_seconds()


@dataclass
class EndToEnd:
    """A side of a comparison: each time it is called, `images` fresh pictures in equal jobs, one of each producer."""

    bench: Bench
    images: int
    options: Mapping[str, Any]
    #: Processor milliseconds per image of each process, one entry per job.
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self) -> float:
        """Images per second."""
        bench = self.bench
        workers = bench.worker
        count = bench.producers
        several = bench.several_producers if count > 1 else None
        each = self.images // count
        paths = [folder(bench.new_folder(), each) for _ in range(count)]
        before = fleet.usage(bench.stack, workers)
        if several:
            names, elsewhere = several.submit(paths, self.options)
            jobs = [bench.client.job(name) for name in names]
        else:
            jobs, elsewhere = [bench.client.submit(paths[0], **self.options)], 0.0
        statuses = [bench.finish(job.wait()) for job in jobs]
        spent = fleet.usage(bench.stack, workers).since(before)
        spent["producer"] += elsewhere
        for name, seconds in spent.items():
            self.cpu_ms.setdefault(name, []).append(1000 * seconds / (each * count))
        return sum(status.total for status in statuses) / elapsed_s(statuses)
