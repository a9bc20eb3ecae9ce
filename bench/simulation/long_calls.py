"""Calls whose cost grows with the fleet or with the job, timed on the real server: Redis does nothing else meanwhile.

python -m bench.simulation.long_calls [IMAGES]
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from producer.local.embedded import Stack
from shared import keys
from shared.contract import ModelCard, Options, WorkerInfo
from shared.ledger import NewChunk, RedisLedger
from shared.ledger.backlog import read_backlog

MODEL = "fake@000000000000"
CHUNK = 32


def main(images: int = 3_200_000) -> None:
    """A job of so many images; workers that only beat."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder)) as stack,
        closing(RedisLedger(stack.settings)) as ledger,
    ):
        ledger.publish(ModelCard(model=MODEL, labels=("a",), input_size=8, methods=("cam",)))
        ledger.open_job("big", model=MODEL, options=Options(), priority="bulk", name=None)
        chunks = images // CHUNK
        new = [NewChunk(f"{n:07d}", n * CHUNK, CHUNK, "0" * 16) for n in range(chunks)]
        entered = {}
        for name, enter in (("reserve", ledger.reserve), ("register", ledger.register)):
            started = time.perf_counter()
            busy_us = _server_us(ledger, partial(_one_by_one, enter, new))
            entered[name] = {
                "seconds": round(time.perf_counter() - started, 2),
                "redis_us_per_chunk": round(busy_us / chunks, 1),
            }
        ledger.seal("big")
        refill = {}
        for workers in (1, 10, 100, 1000):
            for number in range(workers):
                ledger.beat(_worker(number))
            ledger.refill(MODEL)  # fills the queue, so that the next ones find nothing to do
            refill[workers] = round(_server_us(ledger, lambda: ledger.refill(MODEL), times=200), 1)
        found: dict[str, Any] = {
            "images": images,
            "chunks": chunks,
            "entered": entered,
            "refill_us_by_live_workers": refill,
            "bytes_per_image": round(_memory(ledger) / images, 1),
            "seconds": {
                "all chunk records (results, retry, status --tasks)": _seconds(lambda: ledger.attempts("big")),
                "all image states (results)": _seconds(lambda: ledger.image_states("big")),
                "exporter's scrape": _seconds(lambda: read_backlog(ledger.scripts)),
                "status": _seconds(lambda: ledger.status("big")),
            },
            "redis_blocked_ms": {
                "HGETALL chunks": _server_us(ledger, lambda: ledger.scripts.client.hgetall(keys.CHUNKS % "big")) / 1000,
                "GET images": _server_us(ledger, lambda: ledger.scripts.client.get(keys.IMAGES % "big")) / 1000,
                "cancel": _server_us(ledger, lambda: ledger.cancel("big")) / 1000,
                "remove": _server_us(ledger, lambda: ledger.remove("big")) / 1000,
            },
        }
    for name in ("seconds", "redis_blocked_ms"):
        found[name] = {what: float(f"{value:.3g}") for what, value in found[name].items()}
    print(json.dumps(found, indent=1))


def _worker(number: int) -> WorkerInfo:
    return WorkerInfo(
        worker=f"host-{number:05d}", host="h", pid=1, device="cpu", models=(MODEL,), state="ready", slots=3
    )


def _one_by_one(enter: Callable[[str, Sequence[NewChunk]], object], new: Sequence[NewChunk]) -> None:
    """As a producer does: the references of each are written between the two calls."""
    for chunk in new:
        enter("big", [chunk])


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _server_us(ledger: RedisLedger, call: Callable[[], object], times: int = 1) -> float:
    """Microseconds that Redis itself spends on one call."""
    client = ledger.scripts.client
    client.config_resetstat()
    for _ in range(times):
        call()
    stats = client.info("commandstats")
    # A script's own calls are counted beside it; the outermost command has the whole time.
    outer = [stats[name]["usec"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats]
    plain = [s["usec"] for name, s in stats.items() if name not in ("cmdstat_info", "cmdstat_config|resetstat")]
    return float(sum(outer) if outer else sum(plain)) / times


def _memory(ledger: RedisLedger) -> int:
    return int(ledger.scripts.client.info("memory")["used_memory_dataset"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
