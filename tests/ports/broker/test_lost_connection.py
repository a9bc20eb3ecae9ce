"""Celery's consumer when the broker's connection breaks while a message is unacknowledged."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from celery.utils.log import get_logger
from kombu.asynchronous import Hub

from shared.broker import make_app, model_queue
from shared.config import Settings
from tests.chaos.proxy import Mode, Proxy
from worker.chunk.consumer import Consumer

pytestmark = pytest.mark.servers


@pytest.fixture
def lost(settings: Settings) -> Iterator[tuple[Consumer, Any]]:
    """A consumer, and a message that it has not acknowledged; their broker refuses every connection now."""
    port = urlsplit(settings.redis_url).port
    assert port is not None
    with Proxy(port) as proxy:
        url = settings.redis_url.replace(f":{port}", f":{proxy.port}")
        app = make_app(msgspec.structs.replace(settings, redis_url=url))
        connection: Any = app.connection_for_write()
        queue: Any = model_queue("lost-connection", "bulk")
        bound: Any = queue(connection.default_channel)
        bound.declare()
        connection.Producer().publish({}, routing_key=queue.name, exchange=queue.exchange)
        message = bound.get()
        assert message is not None
        proxy.set(Mode.REFUSE)
        consumer = Consumer.__new__(Consumer)  # its constructor wants a whole worker
        consumer.app, consumer.connection, consumer.hub = app, connection, Hub()
        yield consumer, message
        consumer.hub.close()


def test_a_connection_that_cannot_be_closed_in_order_is_dropped(lost: tuple[Consumer, Any]) -> None:
    """kombu restores what was unacknowledged through a connection it has just taken apart, and trips over that."""
    consumer, _ = lost

    consumer.on_connection_error_after_connected(ConnectionError("closed by server"))

    assert consumer.connection is None


@pytest.mark.parametrize("reconnected", [False, True])
def test_an_answer_to_a_message_of_a_dropped_connection_does_not_end_the_worker(
    reconnected: bool, lost: tuple[Consumer, Any]
) -> None:
    """A task that ends after it acknowledges its message on the old one, whether there is another by then or not."""
    consumer, message = lost
    errors = consumer.connection.connection_errors
    consumer.on_connection_error_after_connected(ConnectionError("closed by server"))
    message.channel._disconnect_pools()  # kombu's own last step, where no restoring has opened them again
    with pytest.raises(AttributeError):
        message.ack_log_error(get_logger(__name__), errors)

    if reconnected:
        consumer.connection = consumer.app.connection_for_write()
    consumer.call_soon_ack(message.ack_log_error, get_logger(__name__), errors)
    next(consumer.hub.create_loop())

    assert not message.acknowledged


def test_an_answer_that_trips_over_anything_on_the_present_connection_is_not_hushed_up(
    lost: tuple[Consumer, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would hear of such a mistake, and the message would stay unacknowledged."""
    consumer, message = lost
    monkeypatch.delattr("kombu.transport.virtual.base.Channel.basic_ack")

    consumer.call_soon_ack(message.ack_log_error, get_logger(__name__), consumer.connection.connection_errors)
    with pytest.raises(AttributeError, match="basic_ack"):
        next(consumer.hub.create_loop())

    consumer.on_connection_error_after_connected(ConnectionError("closed by server"))  # else kombu tries again at exit
