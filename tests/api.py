"""The HTTP API of a test, asked in this process: no port, no server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litestar.testing import TestClient as AnyClient

from producer.services import Services
from producer.web.http.asgi import build_both
from producer.web.live.guard import Door

TestClient = AnyClient[Any]
HOST = "127.0.0.1:8000"


@contextmanager
def api(services: Services, scope: Any = "manage", **headers: str) -> Iterator[TestClient]:
    """A client with a token of this scope; without one for None."""
    names = frozenset(services.settings.serve_hosts.split())
    app = build_both(services, Door("127.0.0.1", 8000, names=names))
    if scope:
        _, text = services.tokens.create(scope, "test", 3600)
        headers = {"Authorization": f"Bearer {text}", **headers}
    with AnyClient(app, f"http://{HOST}") as client:
        client.headers.update(headers)
        client.follow_redirects = False
        yield client
