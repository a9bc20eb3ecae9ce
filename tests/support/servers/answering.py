"""Web servers on this machine that answer while a block of a test runs."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import TypeVar

Server = TypeVar("Server", bound=HTTPServer)


@contextmanager
def answering(server: Server) -> Iterator[Server]:
    """It answers in a thread of its own, and is closed when the block ends."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def server_that_answers(
    status: int,
    body: str | bytes,
    read_delay_s: float = 0.0,
    headers: Mapping[str, str] | None = None,
    etag: str = '"etag"',
) -> Iterator[int]:
    """An HTTP server with one answer, which reads a request's body in ten parts with a pause before each."""
    answer = body.encode() if isinstance(body, str) else body
    shown = {"Content-Length": str(len(answer))} if headers is None else headers

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            super().setup()

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            for part in range(10):
                threading.Event().wait(read_delay_s)  # the slowness under test, not a wait for anything
                self.rfile.read((part + 1) * length // 10 - part * length // 10)
            self.send_response(status)
            self.send_header("Content-Type", "application/xml" if answer.startswith(b"<Error") else "text/html")
            for name, value in shown.items():
                self.send_header(name, value)
            if etag:
                self.send_header("ETag", etag)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        server.daemon_threads = True
        yield server.server_port
