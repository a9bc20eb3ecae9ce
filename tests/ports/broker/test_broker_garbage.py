"""What kombu keeps in Redis, written over by somebody else: the connection goes on, and good messages arrive."""

import gzip
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty
from typing import Any

import pytest
import redis
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kombu import Connection, Queue, compression
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str

from shared.config import Settings
from tests.support.jobs.garbage import GARBAGE, NUMBERS
from worker.chunk import transport

pytestmark = pytest.mark.servers

QUEUE = Queue("broker-garbage", durable=True)
TAG, OLD = "a-tag", 1.0
#: Parts of a message, so that what is made of them comes close to one.
PARTS = st.sampled_from(["body", "properties", "headers", "content-type", "content-encoding"])
CLOSE = st.dictionaries(PARTS, st.none() | st.text(max_size=5) | st.dictionaries(PARTS, st.none()), max_size=5)
ELEMENTS = GARBAGE | NUMBERS | CLOSE.map(lambda value: json.dumps(value).encode())
UNACKED = ELEMENTS | st.lists(st.none() | st.text(max_size=5) | CLOSE, max_size=4).map(lambda v: json.dumps(v).encode())


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's transport, for one test."""
    for kind in (kombu_redis.Transport, kombu_redis.SentinelTransport):
        monkeypatch.setattr(kind, "Channel", kind.Channel)
    for registry in ("_aliases", "_encoders", "_decoders"):
        monkeypatch.setattr(compression, registry, dict(getattr(compression, registry)))
    transport.guard()


@pytest.fixture
def connection(guarded: None, settings: Settings, empty_redis: redis.Redis) -> Iterator[Any]:
    """A connection that consumes from the queue; `got` has what arrived."""
    with Connection(settings.redis_url) as made:
        made.got = []  # type: ignore[attr-defined]

        def arrived(message: Any) -> None:  # as Celery takes them: what is in a body is for its own guard
            made.got.append(bytes_to_str(message.body))  # type: ignore[attr-defined]
            message.ack()

        with made.Consumer([QUEUE], on_message=arrived):
            yield made


def arrives(connection: Any) -> bool:
    """Whether a message that is published now comes through whatever lies before it."""
    text = uuid.uuid4().hex
    with connection.Producer() as producer:
        producer.publish(text, routing_key=QUEUE.name, exchange="")
    end = time.monotonic() + 30
    while text not in connection.got and time.monotonic() < end:
        with suppress(Empty, TimeoutError):
            connection.drain_events(timeout=1)
    return text in connection.got


def test_any_element_of_a_queue_is_dropped_alone(connection: Any, empty_redis: redis.Redis) -> None:
    """Bytes, JSON of any shape, and JSON that is nearly a message."""

    @given(elements=st.lists(ELEMENTS, min_size=1, max_size=8))
    @hypothesis_settings(max_examples=25, deadline=None, database=None)
    def check(elements: list[bytes]) -> None:
        empty_redis.lpush(QUEUE.name, *elements)
        assert arrives(connection)
        assert empty_redis.llen(QUEUE.name) == 0

    check()


@pytest.mark.usefixtures("guarded")
def test_no_body_is_unpacked() -> None:
    """Whatever compression a message names: a megabyte may become a gigabyte."""
    for name in compression.encoders():
        with pytest.raises(ValueError, match="the body is compressed"):
            compression.decompress(gzip.compress(b"[]"), name)


def test_garbage_among_the_unacknowledged_keeps_nothing_from_being_restored(
    connection: Any, empty_redis: redis.Redis
) -> None:
    """kombu tries the newest first, and at garbage it would stop each time."""
    channel = connection.default_channel
    assert arrives(connection)

    @given(values=st.lists(UNACKED, min_size=1, max_size=8), tag=st.binary(min_size=1, max_size=20))
    @example(values=[b'[{}, "", null]', b'[{"properties": null}, "", "x"]'], tag=b"no queue")
    @hypothesis_settings(max_examples=25, deadline=None, database=None)
    def check(values: list[bytes], tag: bytes) -> None:
        text = uuid.uuid4().hex
        with connection.Producer() as producer:
            producer.publish(text, routing_key="broker-garbage-lost", exchange="")
        lost = json.loads(empty_redis.lpop("broker-garbage-lost") or b"")
        empty_redis.hset("unacked", TAG, json.dumps([lost, "", QUEUE.name]))
        empty_redis.zadd("unacked_index", {TAG: OLD})
        for number, value in enumerate(values):
            empty_redis.hset("unacked", tag + bytes([number]), value)
            empty_redis.zadd("unacked_index", {tag + bytes([number]): OLD + 1})
        channel.qos.restore_visible(interval=1)

        assert arrives(connection)
        assert text in connection.got
        assert empty_redis.zcard("unacked_index") == empty_redis.hlen("unacked") == 0

    check()


@pytest.mark.parametrize("key", ["unacked", "unacked_index"])
def test_a_value_of_another_type_does_not_refuse_every_message(
    key: str, connection: Any, empty_redis: redis.Redis
) -> None:
    """Where kombu keeps what is unacknowledged."""
    assert arrives(connection)
    empty_redis.set(key, "x")

    assert arrives(connection)
    assert arrives(connection)
    assert not empty_redis.exists(key)
