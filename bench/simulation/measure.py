"""What Redis pays for camq, measured on the real server with the real worker (whose engine does nothing).

    python -m bench.simulation.measure [IMAGES]

Prints the costs that `bench.simulation.model` starts from: processor seconds of the Redis process, which works
in one thread, per chunk submitted, per chunk worked off, and per second of an idle worker.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec
import psutil
import redis

from bench import fleet
from bench.context import Bench
from bench.rows.growth import submit

CHUNK = 32
IDLE_S = 30.0
IDLE_WORKERS = 4
#: For a large fleet: signs of life and looks for lost work as seldom as one can wait for them.
CALM = {"heartbeat_s": 5.0, "heartbeat_ttl_s": 20.0, "reap_s": 10.0, "lease_s": 60.0}


def main(images: int = 32_000) -> None:
    """One job, on one worker; then the server alone, and with workers that have nothing to do."""
    with Bench(say=lambda line: print(line, file=sys.stderr)) as bench:
        chunks = -(-images // CHUNK)
        server = psutil.Process(bench.stack.pids()["redis"])
        alone = _idle(server)
        with closing(redis.Redis.from_url(bench.settings.redis_url)) as client:
            with _workers(bench):
                pass  # the model is known from now on
            before, empty = _cpu(server), _memory(client)
            job = submit(msgspec.structs.replace(bench.settings, chunk_size=CHUNK), images)["job"]
            submitted, full = _cpu(server), _memory(client)
            with _workers(bench):
                while not bench.client.job(job).status().state.finished:
                    time.sleep(1)  # a status is one more call, so seldom
                worked, done = _cpu(server), _memory(client)
        with _workers(bench, IDLE_WORKERS):
            idle = _idle(server)
        with _workers(bench, IDLE_WORKERS, **CALM):
            calm = _idle(server)
    found = {
        "images": images,
        "chunks": chunks,
        "redis_cpu_us_per_chunk_submitted": 1e6 * (submitted - before) / chunks,
        "redis_cpu_us_per_chunk_worked_off": 1e6 * (worked - submitted) / chunks,
        "redis_cpu_us_per_second_alone": 1e6 * alone,
        "redis_cpu_us_per_second_per_idle_worker": 1e6 * (idle - alone) / IDLE_WORKERS,
        f"the same with {CALM}": 1e6 * (calm - alone) / IDLE_WORKERS,
        "redis_bytes_per_image_after_submission": (full - empty) / images,
        "redis_bytes_per_image_after_the_work": (done - empty) / images,
    }
    print(json.dumps({name: round(value, 1) for name, value in found.items()}, indent=1))


@contextmanager
def _workers(bench: Bench, count: int = 1, **changes: float) -> Iterator[None]:
    settings = msgspec.structs.replace(bench.settings, **changes)
    with fleet.worker(settings, bench.folder / "fake.log", "bench.fake_worker", count, arguments=("nothing",)):
        yield


def _memory(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory_dataset"])


def _idle(server: psutil.Process) -> float:
    """Processor seconds per second while nothing is to be done."""
    before = _cpu(server)
    time.sleep(IDLE_S)
    return (_cpu(server) - before) / IDLE_S


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
