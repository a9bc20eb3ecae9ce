"""Embedded servers and workers for the rows that need them, in processes of their own as on any machine."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from producer.local.embedded import Stack
from shared.config import PREFIX, Settings
from shared.ledger import RedisLedger

ROOT = Path(__file__).parents[1]
_START_S = 120.0
_STOP_S = 30.0


def environment(settings: Settings) -> dict[str, str]:
    """Ours, with exactly these settings; the tree that is being measured comes before one that is installed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    path = os.pathsep.join([str(ROOT), *filter(None, [own.get("PYTHONPATH")])])
    return own | settings.environment() | {"PYTHONPATH": path}


@contextmanager
def process(module: str, settings: Settings, log: Path, *arguments: str) -> Iterator[psutil.Process]:
    """`python -m module` while the block lasts; its last words are shown when it fails to stay."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment(settings),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield psutil.Process(child.pid)
        if child.poll() is not None:
            raise RuntimeError(f"{module} ended with {child.returncode}: {_end_of(log)}")
    finally:
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def await_ready(settings: Settings, workers: Sequence[psutil.Process], log: Path) -> None:
    """Returns when every one of these processes is listed as ready."""
    deadline = time.monotonic() + _START_S
    with closing(RedisLedger(settings)) as ledger:
        wanted = {worker.pid for worker in workers}
        while not wanted <= {info.pid for info in ledger.workers() if info.state in ("ready", "busy")}:
            gone = [worker.pid for worker in workers if not _lives(worker)]
            if gone or time.monotonic() > deadline:
                raise RuntimeError(f"a worker did not become ready: {_end_of(log)}")
            time.sleep(0.05)


@contextmanager
def worker(
    settings: Settings, log: Path, module: str = "worker", count: int = 1, arguments: Sequence[str] = ()
) -> Iterator[list[psutil.Process]]:
    """`count` workers, ready."""
    with ExitStack() as stack:
        running = [stack.enter_context(process(module, settings, log, *arguments)) for _ in range(count)]
        await_ready(settings, running, log)
        yield running


@dataclass(frozen=True)
class Usage:
    """Processor seconds that each process has used so far."""

    seconds: dict[str, float]

    def since(self, before: "Usage") -> dict[str, float]:
        """Processor seconds used between the two."""
        return {name: spent - before.seconds.get(name, 0.0) for name, spent in self.seconds.items()}


def usage(stack: Stack, workers: Sequence[psutil.Process]) -> Usage:
    """Now, of both servers, all workers together, and the producer, which is this process."""
    seconds = {name: _cpu(psutil.Process(pid)) for name, pid in stack.pids().items()}
    seconds["worker"] = sum(_cpu(each) + sum(map(_cpu, each.children(recursive=True))) for each in workers)
    seconds["producer"] = _cpu(psutil.Process())
    return Usage(seconds)


def _cpu(one: psutil.Process) -> float:
    times = one.cpu_times()
    return float(times.user + times.system)


def peak_mib(one: psutil.Process) -> float:
    """The most memory the process has had so far."""
    for line in Path(f"/proc/{one.pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _lives(one: psutil.Process) -> bool:
    return one.is_running() and one.status() != psutil.STATUS_ZOMBIE


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
