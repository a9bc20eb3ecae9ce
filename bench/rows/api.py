"""Row 10: requests per second of `POST /v1/explain`, against a handler that only reads the same form."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import urllib3

from bench import timing
from bench.context import Bench
from bench.results import Row, Series, ratio
from producer.local.embedded.stack import free_ports
from producer.services import Services

NUMBER, NAME, TITLE = 10, "api", "POST /v1/explain: requests per second of eight clients, one picture each"
_CLIENTS = 8
#: For a server to answer.
_START_S = 60.0


@contextmanager
def _serving(bench: Bench, *command: str) -> Iterator[urllib3.HTTPConnectionPool]:
    """A server as a process of its own, on the port that stands last."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CAMQ_")}
    environment = own | bench.settings.environment() | {"CAMQ_SERVE_REQUESTS_PER_MINUTE": "1000000"}
    with (
        subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL) as process,
        urllib3.HTTPConnectionPool("127.0.0.1", int(command[-1]), maxsize=_CLIENTS) as pool,
    ):
        try:
            until = time.monotonic() + _START_S
            while time.monotonic() < until:
                try:
                    pool.request("GET", "/v1/openapi.json", retries=False)
                    break
                except urllib3.exceptions.HTTPError:
                    time.sleep(0.1)
            yield pool
        finally:
            process.terminate()


def run(bench: Bench) -> Row:
    """Both ways of camq, answered at once with the job's address and waited for, and the bare handler, in turns."""
    bench.worker  # noqa: B018 - started and warm before the first sample
    number = bench.pick(96, 24)
    with Services(bench.settings) as services:
        _, token = services.tokens.create("submit", "bench", 3600)
    first, second = islice(free_ports(), 2)

    def requests(pool: urllib3.HTTPConnectionPool, prefer: str, expected: int) -> float:
        headers = {"Authorization": f"Bearer {token}", "Prefer": prefer}

        def one(picture: bytes) -> urllib3.BaseHTTPResponse:
            fields = {"picture": ("a.jpg", picture, "image/jpeg"), "top_k": "1"}
            return pool.request("POST", "/v1/explain", fields=fields, headers=headers, retries=False)

        pictures = bench.pictures(number)
        began = time.perf_counter()
        with ThreadPoolExecutor(_CLIENTS) as clients:
            answers = list(clients.map(one, pictures))
        took = time.perf_counter() - began
        if (found := {answer.status for answer in answers}) != {expected}:
            raise RuntimeError(f"requests ended with {found}, not {expected}")
        if expected == 202:  # or the next side would wait for these pictures
            for answer in answers:
                bench.finish(bench.client.job(answer.json()["job"]).wait())
        return number / took

    with (
        _serving(bench, "bench.bare_api", str(first)) as bare,
        _serving(bench, "producer", "serve", "--port", str(second)) as camq,
    ):
        sides = {
            "bare handler": lambda: requests(bare, "", 200),
            "respond-async": lambda: requests(camq, "respond-async", 202),
            "waited for": lambda: requests(camq, "wait=60", 200),
        }
        samples = timing.interleave(sides, bench.pick(3, 1))
    series = {name: Series("requests/s", tuple(values)) for name, values in samples.items()}
    for name in ("respond-async", "waited for"):
        series[f"{name} / bare handler"] = ratio(samples[name], samples["bare handler"])
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"requests": number, "clients": _CLIENTS, "one picture": "500x375, about 40 KB"},
        series=series,
    )
