"""Small loops beside the work: renew leases, show a sign of life, look for lost work."""

import threading
from collections.abc import Callable

import structlog

from shared.errors import UnreachableError
from shared.outage import Outage

log = structlog.get_logger()


class Periodic:
    """Calls `work` every `every_s` seconds until stopped. An outage is logged once, and its end."""

    def __init__(self, name: str, every_s: float, work: Callable[[], None]) -> None:
        self._name = name
        self._every_s = every_s
        self._work = work
        self._stop = threading.Event()
        self._outage = Outage(
            lost=lambda error: log.warning("service lost", loop=name, reason=str(error)),
            back=lambda: log.info("service is back", loop=name),
        )
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop after the call in progress."""
        self._stop.set()
        self._thread.join()

    def abandon(self) -> None:
        """Ends the loop without waiting for the call in progress, which may go on until the process ends."""
        self._stop.set()

    def _loop(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._work()
            except UnreachableError as error:
                self._outage.failed(error)
            except Exception:
                # A loop that died silently would cost leases or heartbeats for the rest of the worker's life.
                log.exception("loop failed; it continues", loop=self._name)
            else:
                self._outage.answered()
