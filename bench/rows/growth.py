"""Row 6: jobs of a thousand to a million images, no pictures, an engine that does nothing."""

import json
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

import redis

from bench import fleet
from bench.context import Bench
from bench.results import Row, Series, Target
from producer import chunks
from shared.config import Settings
from shared.ledger import RedisLedger

NUMBER, NAME, TITLE = 6, "growth", "growth: jobs of 10³ to 10⁶ images, an engine that does nothing"
_LIMIT_S = 1800.0


def run(bench: Bench) -> Row:
    """Per size of job: submission alone, then one worker alone, so that neither waits for the other."""
    sizes = [1_000, 10_000, 20_000] if bench.quick else [1_000, 10_000, 100_000, 1_000_000]
    found: dict[str, dict[int, float]] = {}
    with fleet.worker(bench.settings, bench.folder / "fake.log", "bench.fake_worker", arguments=("nothing",)):
        pass  # the model is known from now on
    _one(bench, 500)  # connections, caches, code
    for size in sizes:
        for name, value in _one(bench, size).items():
            found.setdefault(name, {})[size] = value
    series = {
        f"{name}, {size:,} images": Series(name.rpartition(" in ")[2], (value,))
        for name, values in found.items()
        for size, value in values.items()
    }
    largest, base = sizes[-1], 10_000

    def growth(name: str) -> float:
        return found[name][largest] / found[name][base]

    sides = f"{largest:,} / {base:,} images"
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"chunk size": f"{chunks.SMALL}, and {chunks.LARGE} after {chunks.SMALL_ONES} chunks", "workers": 1},
        series=series,
        targets=(
            Target(f"time per image, {sides}", growth("submission and work in µs/image"), "≤", 1.2),
            Target("images/s through ledger and queue, 1 worker", found["worked off in images/s"][largest], "≥", 5000),
            Target("references submitted per second", found["submitted in images/s"][largest], "≥", 10_000),
            Target("Redis bytes per image", found["Redis in bytes/image"][largest], "≤", 200),
            Target(f"producer's peak memory, {sides}", growth("producer's peak in MiB"), "≤", 1.2),
            Target(f"worker's peak memory, {sides}", growth("worker's peak in MiB"), "≤", 1.2),
        ),
        notes=("one sample per size: each is a mean over its whole job",),
    )


def _one(bench: Bench, size: int) -> dict[str, float]:
    """One job in an otherwise empty ledger."""
    bench.say(f"  {size:,} images")
    settings = bench.settings
    with closing(redis.Redis.from_url(settings.redis_url)) as client:
        before = _memory(client)
        submitted = submit(settings, size)
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
        with closing(RedisLedger(settings)) as ledger:
            ledger.remove(status.job)
    return {
        "submitted in images/s": size / submitted["seconds"],
        "worked off in images/s": size / working_s,
        "submission and work in µs/image": 1e6 * (submitted["seconds"] + working_s) / size,
        "Redis in bytes/image": (most - before) / size,
        "producer's peak in MiB": submitted["peak_mib"],
        "worker's peak in MiB": peak,
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


def _working_s(client: redis.Redis, job: str) -> float:
    """From the first claim to the last commit, by Redis' own clock."""
    row = client.hgetall(f"camq:job:{job}")
    return float(row[b"finished_at"]) - float(row[b"started_at"])
