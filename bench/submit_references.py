"""A producer in a process of its own, so that its peak memory is that of one job.

    python -m bench.submit_references N

Submits N pictures as if storage held them already, through the real submission, and prints one JSON line. The
listing of a bucket is left out: a server answers it at its own pace.
"""

import json
import sys
import time
from collections.abc import Iterator

import psutil

from bench.fake_worker_model import MODEL
from bench.fleet import peak_mib
from producer.inputs.source import ObjectSource
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import submit
from shared.config import Settings


def references(number: int) -> Iterator[ObjectSource]:
    """Addresses of the length that real ones have."""
    return (ObjectSource(f"s3://pictures/2026/11/{index:09d}.jpg", 40_000) for index in range(number))


def main(number: int) -> None:
    """One job."""
    with Services(Settings.load()) as services:
        services.ledger.check()
        started = time.perf_counter()
        job = submit(services, references(number), Request(model=MODEL))
        elapsed = time.perf_counter() - started
    print(json.dumps({"job": job, "seconds": elapsed, "peak_mib": peak_mib(psutil.Process())}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
