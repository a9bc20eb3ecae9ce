"""Structured log lines on stderr, for people or for machines."""

import logging
import sys
import threading
import warnings
from types import TracebackType

import structlog

from shared.config import Settings, secrets
from shared.text import visible, visible_lines

#: What has several lines: traces.
_LINES = frozenset({"exception", "stack"})
#: On every line of this process, whichever thread writes it.
_always: dict[str, str] = {}


def always(**names: str) -> None:
    """From now on these names stand on every line, unless the line has its own."""
    _always.update(names)


def configure(settings: Settings) -> None:
    """Logs through structlog, Celery's and other libraries' lines included; no line shows a secret."""
    hidden = secrets(settings)

    def redact(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        for name, value in event.items():
            if isinstance(value, str):
                for secret in hidden:
                    value = value.replace(secret, "***")  # noqa: PLW2901
                event[name] = value
        return event

    def escape(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Messages of the broker, file names and model files may hold what moves a terminal's cursor or looks like
        a line of its own; JSON escapes it by itself."""
        return {
            name: value if not isinstance(value, str) else visible_lines(value) if name in _LINES else visible(value)
            for name, value in event.items()
        }

    shared_steps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        lambda _, __, event: {**_always, **event},
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if settings.log_format == "json"
        else [escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_steps,
            # A trace is text before secrets are taken out of it: the last line of one may quote an address.
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                *render,
            ],
        )
    )
    # What would be printed past the log: warnings, of which a picture's broken tags make thousands, and last words.
    logging.captureWarnings(capture=True)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module=r"celery\.")
    if settings.log_format == "json":
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda found: _log_uncaught(found.exc_type, found.exc_value, found.exc_traceback)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # Celery's own start-up and per-task lines repeat ours; what goes wrong in it still shows.
    for noisy in ("celery", "kombu", "amqp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared_steps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """An exception that nobody caught, as one line. Ctrl-C and an exit are not errors."""
    if error is not None and issubclass(kind, Exception):
        structlog.get_logger().critical("uncaught exception", exc_info=(kind, error, trace))
