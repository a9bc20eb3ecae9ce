"""The Celery app: every Celery option camq sets, in this one place, each with its reason.

Celery ignores an option it does not know, so a typo would pass silently; `make_app` refuses it instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from amqp.exceptions import AMQPError
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten
from kombu.entity import Exchange, Queue
from kombu.exceptions import LimitExceeded, OperationalError

from shared import keys
from shared.config import Settings
from shared.contract import CHUNK_TASK, PRIORITIES, encode
from shared.errors import UnreachableError
from shared.ledger.scripts import connect
from shared.ledger.values import Hint
from shared.redis_url import celery_options, celery_url, shown

#: A backstop only: the ledger's leases find lost work within seconds, and a message that comes twice is
#: skipped at the claim. Long, so that a slow chunk is not delivered again while it is being worked on.
VISIBILITY_TIMEOUT_S = 3600
RESULT_EXPIRES_S = 24 * 3600

_REDIS_SOCKET = {
    # Without a limit a publish into a Redis that went silent hangs for ever.
    "socket_timeout": 15,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 10,
}

_OPTIONS: dict[str, Any] = {
    # JSON only: a pickle is refused before it is opened.
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    # The ledger re-sends what a dead worker held; the ack after the work keeps Celery's own view true as well.
    "task_acks_late": True,
    "task_track_started": True,
    "result_expires": RESULT_EXPIRES_S,
    # One message per slot: chunks wait in the ledger, where another worker can take them.
    "worker_prefetch_multiplier": 1,
    "worker_hijack_root_logger": False,
    # Five events per chunk would take a fifth of what a worker spends on its message. Flower asks the workers for them
    # again and again; `celery events` does not, so `control enable_events` comes first. They go on until the worker
    # restarts or gets `control disable_events`.
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    # Redis may come back after any time; a worker must not have given up by then.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    # Celery's default, and not to be changed: kombu has one limit for the whole process, and where an application has
    # a Celery app of its own, the second one of two that differ fails.
    "broker_pool_limit": 10,
    "result_backend_always_retry": True,
    # After an outage a slot must not sleep on; the default is ten seconds.
    "result_backend_max_sleep_between_retries_ms": 1000,
    "redis_socket_timeout": 15,
    "redis_socket_connect_timeout": 3,
    "redis_socket_keepalive": True,
    "redis_retry_on_timeout": True,
    "broker_transport_options": {
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        # `high` is emptied before `bulk` is looked at; the ledger sees to it that bulk gets its share.
        "queue_order_strategy": "priority",
        "max_connections": 64,
        **_REDIS_SOCKET,
    },
    "result_backend_transport_options": {
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
    },
}


def make_app(settings: Settings, *, results: bool = True) -> Celery:
    """The Celery app of these settings; nothing connects before it is used.

    Without `results` it only sends: Celery subscribes to a channel for each task sent by an app that could
    read results, which a producer of many chunks must not pay.
    """
    redis_url = celery_url(settings.redis_url)
    broker = settings.broker_url or redis_url
    app = Celery("camq", broker=broker, backend=redis_url if results else "disabled://")
    unknown = _OPTIONS.keys() - {name for name, _ in flatten(NAMESPACES)}
    if unknown:
        raise ValueError(f"Celery has no such option: {sorted(unknown)}")
    app.conf.update(_OPTIONS)
    if settings.redis_url.startswith("unix:"):
        app.conf.redis_socket_keepalive = False  # a socket of this machine has none, and Celery would ask it
    sentinel = celery_options(settings.redis_url)
    app.conf.result_backend_transport_options = {**_OPTIONS["result_backend_transport_options"], **sentinel}
    # Another broker than Redis gets none of Redis' options.
    options = {} if settings.broker_url else {**_OPTIONS["broker_transport_options"], **sentinel}
    app.conf.broker_transport_options = options
    return app


def model_queue(model: str, priority: str) -> Queue:
    """The queue of one model and priority."""
    name = keys.queue(model, priority)
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def model_queues(model: str) -> list[Queue]:
    """The queues of a model, `high` first."""
    return [model_queue(model, priority) for priority in PRIORITIES]


def worker_queues(model: str) -> list[Queue]:
    """What a worker of the model takes messages from, in this order: other programs' calls after `high` chunks."""
    high, bulk = model_queues(model)
    name = keys.explain_queue(model.partition("@")[0])
    return [high, Queue(name, Exchange(name, type="direct"), routing_key=name), bulk]


class Sender:
    """Sends hints to the broker."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_app(settings, results=False)
        # kombu by itself would go on connecting for ever, with pauses that reach half a minute.
        patience = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2}
        self._app.conf.broker_transport_options = {**self._app.conf.broker_transport_options, **patience}
        self._is_redis = settings.broker_url is None
        self._client = connect(settings)
        self._address = shown(settings.broker_url or settings.redis_url)

    def send(self, hints: list[Hint]) -> None:
        """Sends every hint over one connection. UnreachableError leaves the rest to the reaper."""
        if not hints:
            return
        with self._translated(), self._app.producer_pool.acquire(block=True, timeout=10) as producer:
            for hint in hints:
                self._app.send_task(
                    CHUNK_TASK,
                    args=[encode(hint.message).decode()],
                    task_id=hint.message.task_id,
                    queue=model_queue(hint.model, hint.priority),
                    producer=producer,
                    retry=True,
                    retry_policy={"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2},
                )

    def depth(self, model: str, priority: str) -> int:
        """Messages that wait in a queue."""
        with self._translated():
            if self._is_redis:
                return int(self._client.llen(keys.queue(model, priority)))
            return self._declared(model_queue(model, priority))

    def _declared(self, queue: Queue) -> int:
        with self._app.pool.acquire(block=True, timeout=10) as connection, connection.channel() as channel:
            return int(queue(channel).queue_declare().message_count)

    def close(self) -> None:
        """Closes every connection."""
        self._app.close()
        self._client.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, LimitExceeded, redis.RedisError, AMQPError, ConnectionError, TimeoutError) as error:
            raise UnreachableError(f"the broker at {self._address} does not answer") from error
