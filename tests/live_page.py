"""The live page of a test, asked over HTTP as its own script would ask."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import urllib3

from producer.services import Services
from producer.web.live.serve import Server

Ask = Callable[..., urllib3.BaseHTTPResponse]


@contextmanager
def live_page(services: Services) -> Iterator[Ask]:
    """`ask("/jobs/x", method="POST")` as the page itself would; headers may be replaced, None removes one."""
    with Server(services, "127.0.0.1", 0) as server, urllib3.PoolManager(timeout=10) as pool:
        thread = Thread(target=server.run)
        thread.start()
        home, _, token = server.link.partition("/?token=")
        port = home.rpartition(":")[2]
        own = {"Origin": home, "Cookie": f"camq-{port}={token}"}

        def answer(path: str, method: str = "GET", **headers: str | None) -> urllib3.BaseHTTPResponse:
            fields = headers.pop("fields", None)
            sent = {name: value for name, value in (own | headers).items() if value is not None}
            more = {"fields": fields} if fields else {}
            return pool.request(method, home + path, headers=sent, retries=False, redirect=False, **more)

        yield answer
        server.stop()
        thread.join()
