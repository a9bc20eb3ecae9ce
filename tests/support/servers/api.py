"""The HTTP API of a test, asked in this process: no port, no server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litestar.testing import TestClient as AnyClient

from producer.services import Services
from producer.web.http.asgi import build_both
from producer.web.live.guard import Door

JOB = "/v1/jobs/{job}"
READ = ("/v1/jobs", JOB, f"{JOB}/events", f"{JOB}/results", f"{JOB}/results.jsonl", f"{JOB}/images/{{index}}")
READ += (f"{JOB}/images/{{index}}/overlays/{{rank}}", "/v1/models", "/v1/models/{model}", "/v1/workers")
SUBMIT = ("/v1/jobs", "/v1/uploads", "/v1/explain")
#: Each address, the method, and the scope that it needs.
ROUTES = [(path, "GET", "read") for path in READ] + [(path, "POST", "submit") for path in SUBMIT]
ROUTES += [(f"{JOB}/cancel", "POST", "manage"), (f"{JOB}/retry", "POST", "manage"), (JOB, "DELETE", "manage")]

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
