"""kombu's way to Redis, made to survive what lies in a queue: whoever reaches Redis may have put it there.

kombu itself ends the worker at a list element that is not JSON, and unpacks compressed bodies of any size.
"""

from collections.abc import Callable
from queue import Empty
from typing import Any, Literal

import msgspec
import structlog
from kombu import compression
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import base
from redis import DataError, ResponseError

from shared.contract import prepare

log = structlog.get_logger()


class _DeliveryInfo(msgspec.Struct):
    exchange: str
    routing_key: str


class _Properties(msgspec.Struct):
    delivery_tag: str
    delivery_info: _DeliveryInfo
    body_encoding: Literal["base64"] | None = None


class _Envelope(msgspec.Struct):
    """What kombu reads of a queue element before Celery's consumer, which has its own guard, gets the message."""

    properties: _Properties
    body: str | None = None
    headers: dict[str, Any] | None = None
    content_type: str | None = msgspec.field(name="content-type", default=None)
    content_encoding: str | None = msgspec.field(name="content-encoding", default=None)


prepare(_Envelope)


class _Message(base.Message):
    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        msgspec.convert(payload, _Envelope)
        super().__init__(payload, channel=channel, **kwargs)


class _QoS(kombu_redis.QoS):
    """What was delivered and not yet acknowledged, in `unacked` and `unacked_index`."""

    def append(self, message: Any, delivery_tag: str) -> None:
        self._unless_foreign(super().append, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        self._unless_foreign(super().ack, delivery_tag)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """kombu would trip over the same element each time, and never restore those behind it."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, DataError) as error:
            log.error("unacknowledged element dropped: not a message", reason=f"{type(error).__name__}: {error!s:.200}")
            self._remove_from_indices(tag).execute()

    def _unless_foreign(self, call: Callable[..., None], *arguments: Any) -> None:
        """A value of another type under one of the two keys would refuse every message: it is deleted."""
        try:
            call(*arguments)
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            with self.channel.conn_or_acquire() as client:
                for key, kind in ((self.unacked_key, b"hash"), (self.unacked_index_key, b"zset")):
                    if client.type(key) not in (kind, b"none"):
                        log.error("a value that the broker did not write is deleted", key=key)
                        client.delete(key)
            call(*arguments)


class _Refusing:
    """A channel that drops an element which is not a message, logs it, and takes the next one."""

    Message = _Message
    QoS = _QoS

    def _brpop_read(self, **options: Any) -> Any:
        return _unless_foreign(super()._brpop_read, **options)  # type: ignore[misc]

    def _receive(self) -> Any:
        return _unless_foreign(super()._receive)  # type: ignore[misc]


class _Channel(_Refusing, kombu_redis.Channel):
    pass


class _SentinelChannel(_Refusing, kombu_redis.SentinelChannel):
    pass


def guard() -> None:
    """From now on every Redis connection of this process that kombu makes refuses what is not a message, and no
    message of any broker is unpacked: camq compresses none."""
    kombu_redis.Transport.Channel = _Channel
    kombu_redis.SentinelTransport.Channel = _SentinelChannel
    for name in compression.encoders():
        compression.register(None, _refuse_compressed, name)


def _unless_foreign(read: Callable[..., Any], **options: Any) -> Any:
    try:
        return read(**options)
    # A ValueError is no JSON, no UTF-8 or no base64; kombu has read Redis' answer to its end by then.
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        log.error("queue element refused: not a message", reason=f"{type(error).__name__}: {str(error)[:200]}")
        raise Empty from None


def _refuse_compressed(_: object) -> bytes:
    raise ValueError("the body is compressed, which no message of camq's is")
