"""`camq worker --all-devices`: one worker process per device slot of this machine, kept running.

Each child claims its slot itself (`worker.slots`), so the fleet only has to keep as many alive as there are
slots: the successor of one that died takes the slot that the kernel freed.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from shared.config import Settings
from shared.embedded import Spec, Supervisor
from worker.inventory import Inventory, nvidia_smi
from worker.shutdown import GOODBYE_S
from worker.slots import available

log = structlog.get_logger()

#: A child that ends with it was told something impossible, and would be again.
EXIT_USAGE = 2
#: What a child gets beyond its own grace period before it is killed.
_MARGIN_S = 5.0


def specs(settings: Settings, count: int) -> list[Spec]:
    """How to run each worker. With CAMQ_HTTP_PORT, the n-th one listens n - 1 ports above it."""
    found = []
    for number in range(count):
        own = {"CAMQ_HTTP_PORT": str(settings.http_port + number)} if settings.http_port else {}
        found.append(
            Spec(
                name=f"worker-{number + 1}",
                argv=[sys.executable, "-P", "-m", "worker", "serve"],
                env={**os.environ, **settings.environment(), **own},
                log=None,
                stop_s=settings.drain_s + GOODBYE_S + _MARGIN_S,
            )
        )
    return found


def serve(settings: Settings, inventory: Inventory = nvidia_smi) -> int:
    """Runs until SIGTERM or Ctrl-C; then every child drains, all at once. The exit status of the process."""
    count = len(available(settings, inventory, os.environ)) or 1
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
        for spec in specs(settings, count):
            supervisor.start(spec)
        log.info("fleet started", workers=count)
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
