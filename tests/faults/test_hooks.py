"""What other programs use, with a real worker: a call from a foreign Celery application, and webhooks."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest
from celery import Celery
from standardwebhooks import Webhook

from producer import Client
from producer.results.records import records
from shared.config import Settings
from shared.contract import encode
from shared.ledger import RedisLedger
from shared.storage import S3Store
from tests.chaos.fleet import picture
from tests.faults.conftest import READY_S, Start
from tests.support.servers.answering import answering
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(180)]

SECRET = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"


@pytest.fixture
def received() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address, and what came in there with the right signature."""
    events: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            event = Webhook(SECRET).verify(body, dict(self.headers))
            events.append({"id": self.headers["webhook-id"], **event})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with answering(HTTPServer(("127.0.0.1", 0), Receiver)) as server:
        yield f"127.0.0.1:{server.server_port}", events


@pytest.fixture
def foreign(fast: Settings) -> Iterator[Celery]:
    """An application that knows the broker's address and nothing else."""
    with Celery(broker=fast.redis_url, backend=fast.redis_url, set_as_current=False) as app:
        yield app


def test_a_foreign_call_and_a_webhook(
    fast: Settings,
    ledger: RedisLedger,
    start: Start,
    s3_store: S3Store,
    foreign: Celery,
    received: tuple[str, list[dict[str, Any]]],
) -> None:
    """A call returns the result line, a bad call fails with a sentence, and a webhook reports a job's end."""
    place, events = received
    settings = msgspec.structs.replace(fast, webhook_hosts=place, webhook_secret=SECRET)
    worker = start(settings)
    s3_store.put("photos/cat.jpg", picture(1))
    s3_store.put("photos/none.jpg", b"no picture")
    queue = f"camq.explain.{fast.model}"

    def call(key: str, **options: object) -> Any:
        key = f"s3://{s3_store.bucket}/photos/{key}"
        return foreign.send_task("camq.explain", kwargs={"key": key, **options}, queue=queue)

    good, none, bad = call("cat.jpg", top_k=2), call("none.jpg"), call("cat.jpg", tpo_k=2)
    odd = foreign.send_task("camq.explain", kwargs={"task": 1}, queue=queue)
    line = good.get(timeout=READY_S)

    (expected,) = records(ledger, s3_store, f"explain-{good.id}")
    assert line == json.loads(encode(expected))
    assert [p["rank"] for p in line["predictions"]] == [1, 2]
    assert s3_store.get(line["predictions"][0]["overlay"])
    assert none.get(timeout=READY_S)["error"]["code"] == "not_an_image"
    for refused, says in ((bad, "did you mean top_k"), (odd, "needs key")):
        with pytest.raises(Exception, match=says):
            refused.get(timeout=READY_S)
        assert refused.state == "FAILURE"
    assert "Traceback" not in worker.text()

    with Client(settings) as client:
        job = client.submit([picture(2)], top_k=1, webhook=f"http://{place}/hook?token=t0ken")
        job.wait(timeout=READY_S)
        wait_until(lambda: job.status().webhook.state == "delivered", "the webhook is delivered", READY_S)
        status = json.loads(encode(job.status()))
    (event,) = events
    assert {**event, "webhook": None} == {**status, "id": event["id"], "type": "job.finished", "webhook": None}
    assert status["webhook"] == {"url": f"http://{place}/hook", "state": "delivered", "attempts": 1, "reason": None}
    assert "t0ken" not in worker.text()
    assert "webhook delivered" in worker.text()
