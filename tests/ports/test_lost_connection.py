"""Celery's consumer when the broker's connection breaks while a message is unacknowledged."""

from typing import Any

import pytest

from shared.broker import make_app, model_queue
from shared.config import Settings
from worker.consumer import Consumer

pytestmark = pytest.mark.servers


def test_a_connection_that_cannot_be_closed_in_order_is_dropped(settings: Settings) -> None:
    """kombu restores what was unacknowledged through a connection it has just taken apart, and trips over that."""
    app = make_app(settings)
    connection: Any = app.connection_for_write()
    queue: Any = model_queue("lost-connection", "bulk")
    channel = connection.default_channel
    bound: Any = queue(channel)
    bound.declare()
    connection.Producer().publish({}, routing_key=queue.name, exchange=queue.exchange)
    assert bound.get() is not None  # and it is not acknowledged

    consumer = Consumer.__new__(Consumer)  # its constructor wants a whole worker
    consumer.app, consumer.connection = app, connection
    consumer.on_connection_error_after_connected(ConnectionError("closed by server"))

    assert consumer.connection is None
