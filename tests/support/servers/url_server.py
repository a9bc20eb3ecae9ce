"""A web server on this machine that answers as a test says."""

from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import Any


class Server(ThreadingHTTPServer):
    """Answers by path; `heard` has the path and the credentials of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[str, str | None]] = []
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.over = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.heard.append((self.path, self.headers["Authorization"]))
        self.server.answers[self.path.partition("?")[0]](self)

    def log_message(self, *_: Any) -> None:
        pass


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def give(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            to.send_header(name, value)
        to.end_headers()
        with suppress(OSError):
            to.wfile.write(body)

    return give


def drip(to: BaseHTTPRequestHandler) -> None:
    to.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    server = to.server
    assert isinstance(server, Server)
    with suppress(OSError):
        while not server.over.wait(0.02):
            to.wfile.write(b"a")
