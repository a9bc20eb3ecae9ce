"""The live page of a test, asked over HTTP as its own script would ask."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import urllib3

from producer.services import Services
from producer.web.live.serve import Server


class Ask:
    """`ask("/jobs/x", method="POST")` asks as the page itself would."""

    def __init__(self, link: str, pool: urllib3.PoolManager) -> None:
        self._home, _, token = link.partition("/?token=")
        self.port = int(self._home.rpartition(":")[2])
        #: The headers of every request.
        self.own = {"Origin": self._home, "Cookie": f"camq-{self.port}={token}"}
        self._pool = pool

    def __call__(self, path: str, method: str = "GET", **headers: object) -> urllib3.BaseHTTPResponse:
        """The answer. Headers may be replaced, None removes one; `fields` are those of a form."""
        fields = headers.pop("fields", None)
        sent = {name: value for name, value in (self.own | headers).items() if value is not None}
        more = {"fields": fields} if fields else {}
        return self._pool.request(method, self._home + path, headers=sent, retries=False, redirect=False, **more)  # type: ignore[arg-type]


@contextmanager
def live_page(services: Services) -> Iterator[Ask]:
    """A server for the length of the block."""
    with Server(services, "127.0.0.1", 0) as server, urllib3.PoolManager(timeout=10) as pool:
        thread = Thread(target=server.run)
        thread.start()
        try:
            yield Ask(server.link, pool)
        finally:
            server.stop()
            thread.join()
