"""Whether this process is alive and ready, said over HTTP together with its metrics."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import structlog
from celery import Celery, bootsteps
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared.errors import CamqError, UsageError

log = structlog.get_logger()

#: How often the main loop beats, and how often the services are asked whether they answer.
BEAT_S = 1.0
LOOK_S = 10.0
#: A main loop or engine silent for this long makes /live fail.
LIVE_S = 300.0
#: A client that sends nothing must not keep a thread.
_CLIENT_S = 10.0


class Pulse:
    """The last sign of life of something that may also be at rest, when none is expected of it."""

    def __init__(self) -> None:
        #: Monotonic seconds, or None at rest.
        self.last: float | None = None

    def beat(self) -> None:
        """Alive."""
        self.last = time.monotonic()

    def rest(self) -> None:
        """No more beats until the next one."""
        self.last = None


class Health:
    """The answers to probes. They come from memory: a probe never waits for a service."""

    def __init__(self, live_s: float = LIVE_S) -> None:
        self._live_s = live_s
        self._beats: dict[str, Callable[[], float | None]] = {}
        self._missing: dict[str, str] = {}
        #: What `look` asks; each raises a CamqError when it does not answer.
        self.services: Mapping[str, Callable[[], None]] = {}
        #: The worker's own state, as in `camq workers`.
        self.state: Callable[[], str] = lambda: "starting"

    def watch(self, name: str, last: Callable[[], float | None]) -> None:
        """From now on its beats must not stop. `last` tells the newest one (monotonic), or None at rest."""
        self._beats[name] = last

    def live(self) -> list[str]:
        """What hangs; nothing in a process that lives. A service that is away is no reason to be restarted."""
        now = time.monotonic()
        return [
            f"{name} has been silent for {now - last:.0f} s"
            for name, beat in list(self._beats.items())
            if (last := beat()) is not None and now - last > self._live_s
        ]

    def ready(self) -> list[str]:
        """Why no work can be done; nothing when it can."""
        state = self.state()
        return [*self.live(), *([] if state in ("ready", "busy") else [state]), *self._missing.values()]

    def look(self) -> None:
        """Asks the services."""
        missing = {}
        for name, check in self.services.items():
            try:
                check()
            except CamqError as error:
                missing[name] = str(error)
        self._missing = missing


def watch_main_loop(app: Celery, pulse: Pulse) -> None:
    """A beat from Celery's own loop, which fetches messages. While it looks for a lost broker it is at rest."""

    class MainLoop(bootsteps.StartStopStep):  # type: ignore[misc]
        def start(self, parent: Any) -> None:
            pulse.beat()
            self._timer = parent.timer.call_repeatedly(BEAT_S, pulse.beat)

        def stop(self, parent: Any) -> None:  # noqa: ARG002
            self._timer.cancel()
            pulse.rest()

    app.steps["consumer"].add(MainLoop)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """The base class prints a traceback. A scrape that hung up is the scraper's affair."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a probe or scrape failed")


@contextmanager
def serving(host: str, port: int, health: Health, registry: CollectorRegistry) -> Iterator[int]:
    """`/live`, `/ready` and `/metrics` while the block lasts; yields the port. Raises UsageError if it is taken."""
    try:
        server = _Server((host, port), _handler(health, registry))
    except OSError as error:
        raise UsageError(
            f"CAMQ_HTTP_PORT={port}: cannot listen on {host}: {error.strerror}; set another port"
        ) from None
    thread = Thread(target=server.serve_forever, name="http", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(health: Health, registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_S
        server_version = "camq"
        sys_version = ""

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/live":
                    self._say(health.live())
                case "/ready":
                    self._say(health.ready())
                case "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                case _:
                    self._answer(404, b"/live, /ready or /metrics\n")

        def _say(self, complaints: list[str]) -> None:
            text = "".join(f"{line}\n" for line in complaints) or "ok\n"
            self._answer(503 if complaints else 200, text.encode())

        def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds; they are no news."""

    return Handler
