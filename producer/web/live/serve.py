"""The server behind `camq ui`: bound before its link is printed, ended by Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from producer.web.live.app import build
from producer.web.live.guard import Door
from shared.errors import UsageError

if TYPE_CHECKING:
    from producer.services import Services


#: Makes the application on these servers, behind this door; it has a `close`.
Application = Callable[["Services", Door], Any]
#: Browsers send a request's headers in one piece.
HEADERS_S = 10.0
#: In this time at least so many bytes of a request's body have to come, such as of an upload: half a kilobyte a second.
BODY_S, BODY_BYTES = 30.0, 16_000
#: All of a body has to come in this time, however steadily it comes: 1 GB at 1.1 Mbit/s.
WHOLE_BODY_S = 7200.0
#: Connections at once, beyond which the answer is 503; the usual limit of open files is 1,024.
MOST_CONNECTIONS = 500


_LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _InTime(H11Protocol):
    """Closes a connection when the headers of a request are not complete in time, or when too little of its body comes
    or all of it takes too long; uvicorn waits for either without end."""

    _deadline: asyncio.TimerHandle | None = None
    _in_headers = False
    #: Bytes of a body since the deadline was set, and when all of it has to be there.
    _came = 0
    _whole_by = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._came += len(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

    def _watch(self) -> None:
        in_headers = self.conn.their_state is h11.IDLE
        if in_headers and self._in_headers and self._deadline is not None:
            return  # all of them together have this time
        in_body = self.conn.their_state is h11.SEND_BODY
        if in_body and not self._in_headers and self._deadline is not None and self._came < BODY_BYTES:
            return  # too little of it to begin the time again
        if in_body and (self._in_headers or self._deadline is None):
            self._whole_by = self.loop.time() + WHOLE_BODY_S
        self._unwatch()
        self._came = 0
        self._in_headers = in_headers
        if in_headers:
            self._deadline = self.loop.call_later(HEADERS_S, self.transport.close)
        elif in_body:
            self._deadline = self.loop.call_at(min(self.loop.time() + BODY_S, self._whole_by), self._body_stalled)

    def _body_stalled(self) -> None:
        if self.flow.read_paused:  # what came is not read yet: it is not the client that keeps us waiting
            self._deadline = self.loop.call_later(BODY_S, self._body_stalled)
            return
        if not self.cycle.response_started:
            self.transport.write(_LATE)
        self.transport.close()

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server:
    """Owns the socket from the beginning, so that the port in the link is the port that answers."""

    def __init__(self, services: Services, host: str, port: int, app: Application = build) -> None:
        self._socket = _bound(host, port)
        names = frozenset(services.settings.serve_hosts.lower().split())
        self._door = Door(host, self._socket.getsockname()[1], names=names)
        # Asked for now, so that a service that is away is reported before a link is printed.
        services.ledger, services.store  # noqa: B018
        self._app = app(services, self._door)
        # No access log: the first line of it would hold the token.
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                log_config=None if services.settings.log_format == "json" else uvicorn.config.LOGGING_CONFIG,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                http=_InTime,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=2,
            )
        )

    @property
    def home(self) -> str:
        """The address without the token."""
        return self._door.link.partition("/?")[0]

    @property
    def link(self) -> str:
        """The address with the token."""
        return self._door.link

    @property
    def private(self) -> bool:
        """Whether only this machine reaches it."""
        return self._door.private

    def run(self) -> None:
        """Serve until Ctrl-C, SIGTERM or `stop`."""
        if threading.current_thread() is threading.main_thread():
            # uvicorn ends, and then raises the signal once more: what stops a server on purpose is no failure.
            signal.signal(signal.SIGTERM, lambda *_: self.stop())
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._server.should_exit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._app.close()
        self._socket.close()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        result = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror}") from error
    try:
        result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        result.bind(address)
        result.listen()  # who opens the link before the server runs waits, and is not refused
    except OSError as error:
        result.close()
        raise UsageError(f"cannot listen on {host} port {port}: {error.strerror}; take another --port") from error
    return result
