"""How a worker ends: asked to, it drains; asked twice, it is gone; whatever hangs, it keeps its time."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from shared.processes.deadline import GOODBYE_S
from worker.chunk.leases import LeaseKeeper

log = structlog.get_logger()


class Shutdown:
    """The one way out of the process. Nothing is lost by any of it: leases that are not handed back run out."""

    def __init__(self, keeper: LeaseKeeper, drain_s: float, tell: Callable[[], None]) -> None:
        self._keeper = keeper
        self._tell = tell
        self._drain_s = drain_s
        # Waits from the beginning: starting a thread inside a signal handler may meet a lock that the interrupted
        # code holds.
        self._begun = threading.Event()
        threading.Thread(target=self._keep_time, name="shutdown", daemon=True).start()

    def begin(self, **_: Any) -> None:
        """The first SIGTERM or Ctrl-C (Celery calls this inside its signal handler, so nothing is logged here)."""
        self._keeper.drain(self._drain_s)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, _end_now)
        self._begun.set()

    def leave(self) -> None:
        """Returns once everything was closed. With a thread that still hangs it does not return:
        the interpreter would wait for it for ever."""
        end = time.monotonic() + GOODBYE_S
        others = [t for t in threading.enumerate() if not t.daemon and t is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, end - time.monotonic()))
        stragglers = [thread for thread in others if thread.is_alive()]
        if stragglers:
            log.warning("threads left behind", names=sorted({thread.name for thread in stragglers}))
            _exit(0)

    def _keep_time(self) -> None:
        """Celery, its broker connection or a thread of ours may wait for a service that is silent."""
        self._begun.wait()
        # At once, and not with the next heartbeat: a second signal may come before, and what is in hand then would be
        # charged as a death. In a thread of its own, for Redis may be silent.
        threading.Thread(target=self._tell, name="goodbye", daemon=True).start()
        time.sleep(self._drain_s + GOODBYE_S)
        log.warning("the grace period is over; what is in hand runs again when its lease ends")
        _exit(0)


def listen_until_celery_does() -> None:
    """Until Celery's own handlers stand, SIGTERM ends the process in order: it has nothing in hand yet."""

    def leave(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)


def _end_now(number: int, _: object) -> None:
    os._exit(128 + number)


def _exit(code: int) -> None:
    logging.shutdown()
    os._exit(code)
