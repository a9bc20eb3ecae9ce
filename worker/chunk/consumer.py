"""Celery's consumer, made to survive what ends it: a message that is not ours (refused, recorded, not seen again)
and a broker connection that broke.
"""

import re
from collections.abc import Callable
from typing import Any

import structlog
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.control import Panel

from shared.errors import MessageError

log = structlog.get_logger()
_celery_log = get_logger(__name__)
#: A message may claim any id; only one that could be ours becomes a key in Redis.
_TASK_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

#: What Celery's remote control may do: answer questions, and switch task events on and off, which Flower needs.
REMOTE_COMMANDS = {
    *("ping", "clock", "heartbeat", "hello", "stats", "report", "conf", "registered", "active_queues"),
    *("active", "reserved", "scheduled", "revoked", "query_task", "enable_events", "disable_events"),
}


def limit_remote_control() -> None:
    """Refuse Celery's other commands in this process: whoever reaches the broker could stop or starve it by them."""
    for name in Panel.data.keys() - REMOTE_COMMANDS:
        del Panel.data[name]


class Consumer(CeleryConsumer):  # type: ignore[misc]
    """Celery's own answers log the whole body, and an odd enough message ends its loop and so the worker."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """The function that takes each message."""
        handle = super().create_task_handler(*args, **kwargs)

        def guarded(message: Any) -> None:
            try:
                handle(message)
            except (*self.connection_errors, *self.connection.channel_errors):
                raise
            # Whatever Celery trips over while it reads headers and body of a foreign message is that message's fault.
            except Exception as error:  # noqa: BLE001
                self._refuse(message, error)

        return guarded

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The broker's connection broke. Celery drops it, and connects again as soon as this returns.

        Dropping it, kombu tries to give back what was unacknowledged through the connection it has just taken apart,
        and fails with an AttributeError that would end the worker. Nothing needs it: the ledger re-sends.
        """
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001
            log.debug("the broken connection could not be closed in order", reason=repr(error))

    def call_soon_ack(self, answer: Callable[..., None], *args: Any, **kwargs: Any) -> Any:
        """Acknowledges or rejects a message in the consumer's loop.

        If the connection that brought it broke meanwhile, kombu trips over the channel it has taken apart
        (AttributeError), which would end the worker. Nothing needs that answer: the ledger knows what was committed.
        """

        def unless_lost() -> None:
            try:
                answer(*args, **kwargs)
            except AttributeError as error:
                if not self._is_lost(answer):
                    raise
                log.warning("a connection that broke cannot take an answer to its message", reason=repr(error))

        return super().call_soon_ack(unless_lost)

    def _is_lost(self, answer: Callable[..., None]) -> bool:
        """Whether the message whose method this is came over another connection than the present one."""
        message: Any = getattr(answer, "__self__", None)
        channel = getattr(message, "channel", None)
        if channel is None:
            return False
        return self.connection is None or channel.connection is not self.connection.transport

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body is no JSON."""
        self._refuse(message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """The content type is not JSON (a pickle, which is never opened), or the task's fields are not right."""
        self._refuse(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002
        """No task message at all."""
        self._refuse(message, MessageError("not a task message"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """A task that camq does not have."""
        self._refuse(message, MessageError("no such task"))

    def _refuse(self, message: Any, error: Exception) -> None:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        headers = message.headers if isinstance(message.headers, dict) else {}
        task_id = headers.get("id")
        known = isinstance(task_id, str) and _TASK_ID.fullmatch(task_id) is not None
        log.error("message refused", task=task_id if known else None, reason=reason)
        message.reject_log_error(_celery_log, self.connection_errors)
        if known:
            self.app.backend.mark_as_failure(task_id, MessageError(f"refused: {reason}"))
