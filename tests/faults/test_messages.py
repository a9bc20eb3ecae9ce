"""Malformed and foreign messages: refused, recorded where they have an id, never executed; the worker continues."""

import base64
import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from celery.result import AsyncResult

from producer import Client
from shared import keys
from shared.broker import Sender, make_app, model_queue
from shared.config import Settings
from shared.contract import CHUNK_TASK, ChunkMessage
from shared.ledger import Hint, RedisLedger
from tests.chaos.fleet import picture
from tests.faults.conftest import READY_S, Start
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def send(app: Celery, model: str, task_id: str, *args: object, task: str = CHUNK_TASK) -> None:
    app.send_task(task, args=args, task_id=task_id, queue=model_queue(model, "bulk"))


def envelope(body: bytes, content_type: str = "application/json", **headers: object) -> str:
    """A message as kombu stores it, with any body and any headers."""
    properties = {
        "delivery_tag": "tag-" + str(headers.get("id")),
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": ""},
        "delivery_mode": 2,
        "priority": 0,
    }
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": content_type,
            "content-encoding": "utf-8",
            "headers": headers,
            "properties": properties,
        }
    )


def test_malformed_messages_are_refused_and_recorded_and_the_worker_continues(
    fast: Settings, ledger: RedisLedger, client: Client, start: Start, tmp_path: Path
) -> None:
    """A pickle is not opened; wrong bodies, headers, tasks and fields end as FAILURE; the worker still takes chunks."""
    worker = start(fast)
    (info,) = ledger.workers()
    (model,) = info.models
    app = make_app(fast)
    before = psutil.Process(info.pid).memory_info().rss
    redis = ledger.scripts.client
    queue = keys.queue(model, "bulk")
    bomb = tmp_path / "executed"

    good = {"lang": "py", "task": CHUNK_TASK}
    raw = {
        "pickle": envelope(pickle.dumps(Bomb(bomb)), "application/x-python-serialize", id="pickle", **good),
        "pickle-in-json": envelope(pickle.dumps(Bomb(bomb)), id="pickle-in-json", **good),
        "number": envelope(b"5", id="number", **good),
        "short": envelope(b"[1]", id="short", **good),
        "nothing": envelope(b"", id="nothing", **good),
        "no-task": envelope(b"[[], {}, {}]", id="no-task"),
        "list-task": envelope(b"[[], {}, {}]", id="list-task", task=["camq.chunk"]),
        "other-task": envelope(b"[[], {}, {}]", id="other-task", task="os.system"),
        "no-id": envelope(b"[[], {}, {}]", **good),
        "odd-id": envelope(b"[[], {}, {}]", id={"a": 1}, **good),
    }
    escapes = "\x1b]0;title\x07\n2026-11-26T15:47:24Z [critical ] forged"
    bomb_body = gzip.compress(b" " * 300_000_000, 9)
    raw["compressed"] = envelope(bomb_body, id="compressed", compression="application/x-gzip", **good)
    elements = [
        *("not json at all", "5", "[]", "{}", '{"body": "x"}', '{"body": "x", "properties": 5}', "[" * 100_000),
        *(b"\xff\xfe", escapes),
        envelope(b"[[], {}, {}]", id=f"id{escapes}", **good),
        json.dumps({**json.loads(raw["number"]), "headers": [escapes]}),
        json.dumps({**json.loads(raw["number"]), "properties": {"delivery_tag": "t", "delivery_info": escapes}}),
        json.dumps({**json.loads(raw["number"]), "body": "no base64"}),
    ]
    for message in [*raw.values(), *elements]:
        redis.lpush(queue, message)
    fields = {
        "text": "no JSON",
        "path": json.dumps({"job": "../../etc", "chunk": "000000", "attempt": 1}),
        "attempt": json.dumps({"job": "job", "chunk": "000000", "attempt": 0}),
        "script": json.dumps({"job": "job", "chunk": "0'); DROP", "attempt": 1}),
    }
    for task_id, text in fields.items():
        send(app, model, task_id, text)
    send(app, model, "dict", {"job": "job"})
    send(app, model, "many", 1, 2, 3)

    recorded = [*raw.keys() - {"no-id", "odd-id"}, *fields, "dict", "many"]

    def failed() -> bool:
        states = {name: AsyncResult(name, app=app).state for name in recorded}
        missing = {name: state for name, state in states.items() if state != "FAILURE"}
        assert not missing, f"{missing}\n{worker.text()[-2000:]}"
        return True

    wait_until(failed, "each is recorded as FAILURE", READY_S)
    job = client.submit([picture(1)], top_k=1)

    assert job.wait(timeout=READY_S).succeeded == 1
    (same,) = ledger.workers()
    assert (same.pid, worker.process.poll()) == (info.pid, None)
    assert psutil.Process(info.pid).memory_info().rss < before + 150_000_000, "a body was unpacked"
    log = worker.text()
    assert log.count("refused: not a message") == 11
    assert log.count("the body is compressed") == 1  # memory may have been given back by now
    assert "\x1b" not in log
    assert not any(line.startswith("2026-11-26T15:47:24Z") for line in log.splitlines())
    assert not bomb.exists()
    assert redis.llen(queue) == 0
    assert "etc" not in str(ledger.scripts.client.keys("camq:job*"))
    app.close()


@pytest.mark.slow
def test_a_newer_message_is_left_for_a_newer_worker(
    fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """It is neither executed nor refused, its chunk is not charged, and this worker continues."""
    worker = start(fast)
    (model,) = ledger.workers()[0].models
    app = make_app(fast)
    newer = json.dumps({"schema_version": 2, "job": "job", "chunk": "000000", "attempt": 1, "shape": "new"})
    send(app, model, "newer", newer)
    wait_until(lambda: "left for a newer worker" in worker.text(), "the worker leaves it", READY_S)

    assert AsyncResult("newer", app=app).state in ("PENDING", "STARTED")
    assert client.submit([picture(1)], top_k=1).wait(timeout=READY_S).succeeded == 1
    app.close()


def test_the_depth_of_a_queue_is_read_where_the_broker_keeps_it(fast: Settings, ledger: RedisLedger) -> None:
    """The reaper decides by it whether a queue is empty."""
    sender = Sender(fast)
    message = ChunkMessage(job="job", chunk="000000", attempt=1)
    sender.send([Hint(message, "net@0123456789ab", "bulk")])

    assert sender.depth("net@0123456789ab", "bulk") == 1
    assert sender.depth("net@0123456789ab", "high") == 0
    sender.close()
