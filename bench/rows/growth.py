"""Row 6: jobs of a thousand to a million images, no pictures, an engine that does nothing."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import redis

from bench import fleet, timing
from bench.context import Bench
from bench.results import Row, Series, Target
from producer.results.records import record_at
from producer.submission.submit import LARGE, SMALL, SMALL_ONES
from shared.config import Settings
from shared.ledger import RedisLedger
from shared.storage import S3Store

NUMBER, NAME, TITLE = 6, "growth", "growth: jobs of 10³ to 10⁶ images, an engine that does nothing"
_LIMIT_S = 1800.0
#: Images of the job with which the largest one is compared.
_BASE = 10_000
#: Of one record, and of the list of jobs: what is shown is their median.
_READS = 20


def run(bench: Bench) -> Row:
    """Per size of job: submission alone, then one worker alone, so that neither waits for the other."""
    sizes = [1_000, 10_000, 20_000] if bench.quick else [1_000, 10_000, 100_000, 1_000_000]
    found: dict[str, dict[str, float]] = {}
    with fleet.worker(bench.settings, bench.folder / "fake.log", "bench.fake_worker", arguments=("nothing",)):
        pass  # the model is known from now on
    _one(bench, 500)  # connections, caches, code
    # A small chunk costs as much as a large one. Most of the usual ten thousand images travel in small ones, nearly all
    # of a million in large ones; a base in large ones alone shows whether more images cost more each.
    most = bench.settings.chunk_size or LARGE
    largest, base = f"{sizes[-1]:,} images", f"{_BASE:,} images in chunks of {most}"
    found[base] = _one(bench, _BASE, chunk_size=most)
    for size in sizes:
        found[f"{size:,} images"] = _one(bench, size)
    series = {
        f"{name}, {job}": Series(name.rpartition(" in ")[2], (values[name],))
        for name in found[base]
        for job, values in found.items()
    }

    def growth(name: str) -> float:
        return found[largest][name] / found[base][name]

    sides = f"{largest} / {base}"
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"chunk size": _chunk_size(bench.settings), "workers": 1},
        series=series,
        targets=(
            Target(f"time per image, {sides}", growth("submission and work in µs/image"), "≤", 1.2),
            Target("images/s through ledger and queue, 1 worker", found[largest]["worked off in images/s"], "≥", 5000),
            Target("references submitted per second", found[largest]["submitted in images/s"], "≥", 10_000),
            Target("Redis bytes per image", found[largest]["Redis in bytes/image"], "≤", 200),
            Target(f"producer's peak memory, {sides}", growth("producer's peak in MiB"), "≤", 1.2),
            Target(f"worker's peak memory, {sides}", growth("worker's peak in MiB"), "≤", 1.2),
            Target(f"one image's record, {sides}", growth("one record in ms"), "≤", 1.5),
            Target(f"a list of jobs, {sides}", growth("list of jobs in ms"), "≤", 1.5),
            Target(f"cancelling, per image, {sides}", growth("cancelled in µs/image"), "≤", 1.2),
        ),
        notes=(
            "one sample per job: each is a mean over its whole job",
            *(["quick: the largest job's small chunks weigh too much for its targets"] if bench.quick else []),
        ),
    )


def _chunk_size(settings: Settings) -> int | str:
    return settings.chunk_size or f"{SMALL}, and {LARGE} after {SMALL_ONES} chunks"


def _one(bench: Bench, size: int, chunk_size: int | None = None) -> dict[str, float]:
    """One job in an otherwise empty ledger, in chunks of this size, or as the settings have it."""
    bench.say(f"  {size:,} images" + (f" in chunks of {chunk_size}" if chunk_size else ""))
    settings = bench.settings
    with closing(redis.Redis.from_url(settings.redis_url)) as client:
        before = _memory(client)
        submitted = submit(msgspec.structs.replace(settings, chunk_size=chunk_size or settings.chunk_size), size)
        after_submit = _memory(client)
        with fleet.worker(settings, bench.folder / "fake.log", "bench.fake_worker", arguments=("nothing",)) as workers:
            status = bench.client.job(submitted["job"]).status()
            started_at, most = time.monotonic(), after_submit
            while not status.state.finished:
                time.sleep(0.05)
                most = max(most, _memory(client))
                status = bench.client.job(status.job).status()
                if time.monotonic() - started_at > _LIMIT_S:
                    raise RuntimeError(f"{size} images are not through after {_LIMIT_S:g} s: {status}")
            peak = fleet.peak_mib(workers[0])
        bench.finish(status)
        working_s = _working_s(client, status.job)
        with closing(RedisLedger(settings)) as ledger, closing(S3Store.from_settings(settings)) as store:
            one_record = _median_ms(lambda: record_at(ledger, store, status.job, size // 2))
            listing = _median_ms(lambda: ledger.jobs(20))
            ledger.remove(status.job)
            cancelled = submit(settings, size)["job"]
            cancel_s = timing.seconds(lambda: ledger.cancel(cancelled))
            ledger.remove(cancelled)
    return {
        "submitted in images/s": size / submitted["seconds"],
        "worked off in images/s": size / working_s,
        "submission and work in µs/image": 1e6 * (submitted["seconds"] + working_s) / size,
        "Redis in bytes/image": (most - before) / size,
        "producer's peak in MiB": submitted["peak_mib"],
        "worker's peak in MiB": peak,
        "one record in ms": one_record,
        "list of jobs in ms": listing,
        "cancelled in µs/image": 1e6 * cancel_s / size,
    }


def submit(settings: Settings, size: int) -> dict[str, Any]:
    """A job of so many references, by a process of its own; what `bench.submit_references` says of it."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.submit_references", str(size)],
        env=fleet.environment(settings),
        cwd=fleet.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the submission failed: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _memory(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory_dataset"])


def _median_ms(read: Callable[[], object]) -> float:
    return 1000 * statistics.median(timing.seconds(read) for _ in range(_READS))


def _working_s(client: redis.Redis, job: str) -> float:
    """From the first claim to the last commit, by Redis' own clock."""
    row = client.hgetall(f"camq:job:{job}")
    return float(row[b"finished_at"]) - float(row[b"started_at"])
