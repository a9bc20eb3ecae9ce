"""`camq worker --all-devices`: one worker process per device slot of this machine, kept running; of several models
one process each per GPU.

Each child claims its slot itself (`worker.devices.slots`), so the fleet only has to keep as many alive as there are
slots: the successor of one that died takes the slot that the kernel freed.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog

from shared.config import Settings
from shared.errors import UsageError
from shared.processes.child import Spec
from shared.processes.deadline import GOODBYE_S
from shared.processes.supervisor import Supervisor
from worker.devices.container import cores
from worker.devices.gpus import Inventory, driver_gpus
from worker.devices.slots import Slot, available

log = structlog.get_logger()

#: The variables in which one worker of a fleet differs from the others.
Member = Mapping[str, str]

#: A child that ends with it was told something impossible, and would be again.
EXIT_USAGE = 2
#: What a child gets beyond its own grace period before it is killed.
_MARGIN_S = 5.0


def members(settings: Settings, slots: Sequence[Slot]) -> list[Member]:
    """The settings of each worker of this machine: one per slot, or with CAMQ_MODELS one per model and GPU.

    The models on one GPU share CAMQ_DEVICE_MEMORY in equal parts; more GPU memory than its part no process takes.
    """
    models = settings.models.split()
    if not models:
        return [{}] * (len(slots) or 1)
    if settings.weights or settings.labels:
        raise UsageError("CAMQ_WEIGHTS and CAMQ_LABELS belong to one model: of several, write each as NAME=WEIGHTS")
    if twice := sorted({name for name in models if models.count(name) > 1}):
        raise UsageError(
            f"CAMQ_MODELS names {', '.join(twice)} more than once: name each model once, and set CAMQ_SLOTS_PER_GPU for"
            " several processes of each"
        )
    share = {
        "CAMQ_MODELS": "",
        "CAMQ_SLOTS_PER_GPU": str(len(models) * settings.slots_per_gpu),
        "CAMQ_DEVICE_MEMORY": str(settings.device_memory / len(models)),
    }
    places = [{"CUDA_VISIBLE_DEVICES": slot.gpu.uuid} for slot in slots] or [{}]
    return [{**_network(model), **share, **place} for place in places for model in models]


def _network(model: str) -> Member:
    name, _, weights = model.partition("=")
    return {"CAMQ_MODEL": name, "CAMQ_WEIGHTS": weights} if weights else {"CAMQ_MODEL": name}


def specs(settings: Settings, workers: Sequence[Member]) -> list[Spec]:
    """How to run each worker. With CAMQ_HTTP_PORT, the n-th one listens n - 1 ports above it.

    They share the machine's cores: more threads than cores would wait for each other, and most of all the one in each
    process that feeds the device.
    """
    processes = str(settings.picture_processes or max(1, cores() // len(workers)))
    found = []
    for number, member in enumerate(workers):
        own = {"CAMQ_HTTP_PORT": str(settings.http_port + number)} if settings.http_port else {}
        found.append(
            Spec(
                name="-".join(["worker", str(number + 1), *filter(None, [member.get("CAMQ_MODEL")])]),
                argv=[sys.executable, "-P", "-m", "worker", "serve"],
                env={**os.environ, **settings.environment(), "CAMQ_PICTURE_PROCESSES": processes, **member, **own},
                log=None,
                stop_s=settings.drain_s + GOODBYE_S + _MARGIN_S,
            )
        )
    return found


def serve(settings: Settings, inventory: Inventory = driver_gpus) -> int:
    """Runs until SIGTERM or Ctrl-C; then every child drains, all at once. The exit status of the process."""
    workers = members(settings, available(settings, inventory, os.environ))
    stop = threading.Event()
    status = 0

    def on_exit(name: str, pid: int, code: int) -> None:
        nonlocal status
        if code == EXIT_USAGE:
            status = code
            stop.set()
        else:
            log.warning("worker ended; starting another", name=name, pid=pid, status=code)

    with _set_by_signals(stop), Supervisor(on_exit) as supervisor:
        for spec in specs(settings, workers):
            supervisor.start(spec)
        log.info("fleet started", workers=len(workers))
        stop.wait()
        log.info("fleet stops")
    return status


@contextmanager
def _set_by_signals(stop: threading.Event) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
