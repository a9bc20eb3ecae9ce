"""HTTP requests that end: urllib3's limits of time begin again with each byte that a server drips."""

import socket
import threading
from contextlib import suppress
from typing import Any, Self

from urllib3.connection import HTTPConnection

from shared.storage.http import pools


class Attempt:
    """A block in which this thread's requests end after so many seconds: what waits for a server then reads the end of
    its answer, and `is_over` is set. Its connections are those of a pool with `POOLS`."""

    _local = threading.local()

    def __init__(self, seconds: float) -> None:
        self.is_over = threading.Event()
        self._connections: list[HTTPConnection] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        Attempt._local.current = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        Attempt._local.current = None

    @staticmethod
    def uses(connection: HTTPConnection) -> None:
        """Make this thread's attempt end this connection too."""
        current: Attempt | None = getattr(Attempt._local, "current", None)
        if current is not None:
            current._connections.append(connection)
            connection.attempt = current  # type: ignore[attr-defined]
            if current.is_over.is_set():
                current._end()

    @staticmethod
    def has_ended() -> bool:
        """Whether this thread's attempt is over: then no further connection is worth making."""
        current: Attempt | None = getattr(Attempt._local, "current", None)
        return current is not None and current.is_over.is_set()

    def _end(self) -> None:
        self.is_over.set()
        for connection in self._connections:
            # One that was kept may be another thread's by now, and its answer would look complete.
            if connection.sock is not None and connection.attempt is self:  # type: ignore[attr-defined]
                with suppress(OSError):
                    # Not the shutdown of TLS, which only the thread that reads may do.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


class Timed:
    """What a connection needs so that an attempt can end it, whether it was just opened or kept from before."""

    def connect(self) -> None:
        """See urllib3."""
        super().connect()  # type: ignore[misc]
        Attempt.uses(self)  # type: ignore[arg-type]

    def request(self, *given: Any, **named: Any) -> None:
        """See urllib3."""
        Attempt.uses(self)  # type: ignore[arg-type]
        super().request(*given, **named)  # type: ignore[misc]


POOLS = pools(Timed)
