"""Clients that wait: for one picture, or for what happens to a job; and those that leave."""

import asyncio
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from producer.services import Services
from producer.web.http.asgi import build_both
from producer.web.live.guard import Door
from shared.contract import JobState
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.servers.api import HOST, TestClient, api
from tests.support.waiting import wait_until

CAT = {"picture": ("cat.png", picture())}


def test_one_picture_is_answered_with_its_result(client: TestClient, worker: ScriptedWorker) -> None:
    """And with the job's address, where it stays."""
    with worker.at_work():
        answer = client.post("/v1/explain", files=CAT, data={"classes": "tabby"})

    assert (answer.status_code, answer.json()["state"], answer.json()["source"]) == (200, "succeeded", "cat.png")
    assert [line["label"] for line in answer.json()["predictions"]] == ["tabby"]
    assert client.get(answer.headers["location"]).json()["state"] == "succeeded"
    assert answer.headers["location"].startswith("/v1/jobs/explain-")  # by which lists for people leave it out


def test_a_picture_that_cannot_be_explained_has_its_own_code(client: TestClient, worker: ScriptedWorker) -> None:
    """One of those that results have."""
    with worker.at_work():
        answer = client.post("/v1/explain", files={"picture": ("broken.png", picture())})
        text = client.post("/v1/explain", files={"picture": ("a.png", b"no picture")})

    assert [(one.status_code, one.json()["code"]) for one in (answer, text)] == [(422, "not_an_image")] * 2


@pytest.mark.parametrize("prefer", ["respond-async", "foo, respond-async", "wait=0"])
def test_who_prefers_it_gets_the_jobs_address_at_once(prefer: str, client: TestClient, worker: ScriptedWorker) -> None:
    """The job goes on."""
    answer = client.post("/v1/explain", files=CAT, headers={"Prefer": prefer})

    assert (answer.status_code, answer.headers["location"]) == (202, answer.json()["url"])
    assert client.get(answer.headers["location"]).json()["state"] == "queued"


def test_the_wait_has_an_end(services: Services, worker: ScriptedWorker) -> None:
    """Then the job's address is the answer."""
    services.settings = msgspec.structs.replace(services.settings, serve_wait_s=0.2)
    with api(services) as client:
        answer = client.post("/v1/explain", files=CAT)

    assert answer.status_code == 202
    assert services.ledger.status(answer.json()["job"]).state is JobState.QUEUED


@pytest.mark.parametrize(
    "files",
    [
        [("picture", ("a.png", picture())), ("picture", ("b.png", picture()))],
        [("picture", ("a.png", picture())), ("source", (None, "s3://a/b"))],
        [("top_k", (None, "1"))],
    ],
)
def test_explain_takes_one_picture(files: Any, client: TestClient, services: Services) -> None:
    """Not two, not none."""
    answer = client.post("/v1/explain", files=files)

    assert (answer.status_code, answer.json()["code"]) == (400, "usage")
    assert services.ledger.jobs(10) == []


def test_events_tell_every_change_until_the_end(client: TestClient, worker: ScriptedWorker) -> None:
    """The last one has the final status."""
    job = client.post("/v1/explain", files=CAT, headers={"Prefer": "respond-async"}).json()["job"]
    with worker.at_work():
        answer = client.get(f"/v1/jobs/{job}/events")

    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [part.splitlines() for part in answer.text.replace("\r\n", "\n").strip().split("\n\n")]
    assert {lines[0] for lines in events} == {"event: status"}
    states = [msgspec.json.decode(lines[1].removeprefix("data: "))["state"] for lines in events]
    assert states[-1] == "succeeded"
    assert client.get("/v1/jobs/none/events").json()["code"] == "unknown_job"


class Leaving:
    """A client that sends its request and leaves when it is told to."""

    def __init__(self, services: Services, method: str, path: str, **headers: str) -> None:
        _, text = services.tokens.create("manage", None, 60)
        self.app = build_both(services, Door("127.0.0.1", 8000))
        sent = {"host": HOST, "authorization": f"Bearer {text}", **headers}
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
        self.leaves = Event()
        self.got: list[dict[str, Any]] = []

    def run(self, body: bytes = b"") -> None:
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if parts:
                return parts.pop()
            while not self.leaves.is_set():
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.got.append(message)

        async def visit() -> None:
            await self.app(self.scope, receive, send)  # type: ignore[arg-type]
            events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

            async def next_event() -> dict[str, Any]:
                return events.pop(0)

            await self.app({"type": "lifespan"}, next_event, send)  # type: ignore[arg-type]

        asyncio.run(visit())


@pytest.mark.parametrize("key", [None, "again"])
def test_who_leaves_has_no_picture_explained(key: str | None, services: Services, worker: ScriptedWorker) -> None:
    """The job is cancelled at once, unless the client gave a key under which it will ask again."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
        + picture()
        + b"\r\n--x--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(len(body))}
    client = Leaving(services, "POST", "/v1/explain", **headers | ({"idempotency-key": key} if key else {}))
    thread = Thread(target=client.run, args=[body])
    thread.start()
    wait_until(lambda: [status for status in services.ledger.jobs(1) if status.sealed], "the job is submitted")
    client.leaves.set()
    thread.join(10)

    assert not thread.is_alive()
    (status,) = services.ledger.jobs(10)
    assert status.state is (JobState.QUEUED if key else JobState.CANCELLED)


def test_who_leaves_the_events_costs_nothing(services: Services, client: TestClient) -> None:
    """The request ends, and nobody waits for its job any more."""
    job = client.post("/v1/explain", files=CAT, headers={"Prefer": "respond-async"}).json()["job"]
    leaving = Leaving(services, "GET", f"/v1/jobs/{job}/events")
    thread = Thread(target=leaving.run)
    thread.start()
    wait_until(lambda: any(message.get("body") for message in leaving.got), "the first event came")
    leaving.leaves.set()
    thread.join(10)

    assert not thread.is_alive()
    assert services.ledger.status(job).state is JobState.QUEUED
