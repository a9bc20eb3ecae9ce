"""Traces: spans from submit to commit, for whoever collects OpenTelemetry. Off, and free, unless asked for.

The standard OTEL_* variables ask for them and say where they go; the packages behind them are the extra
`tracing`, which `shared.tracing.otel` alone imports. Where a job came from stands in its ledger record (`trace`, in the
form of the W3C's `traceparent`), so messages stay as they are and releases that know nothing of it read past it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol

from shared.errors import UsageError

#: What a span carries: names without prefix, such as `job` or `images`.
Attribute = str | int | float | bool
#: Which end of the queue a span stands at.
Side = Literal["producer", "consumer"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Span(Protocol):
    """A piece of work while it lasts."""

    #: What a child in another process needs (`traceparent`); empty when nothing is traced.
    context: str

    def set(self, **attributes: Attribute) -> None:
        """What became known during the work."""

    def child(self, name: str, started_ns: int, ended_ns: int, **attributes: Attribute) -> None:
        """A part of it that is over; times as of `time.time_ns`."""


class Tracing(Protocol):
    """Makes spans."""

    #: Whether traces are sent.
    on: bool

    @contextmanager
    def span(self, name: str, side: Side, *, parent: str = "", **attributes: Attribute) -> Iterator[Span]:
        """A span for the block, below the `context` of another or below the caller's own. What the block raises
        is noted and raised on."""

    def close(self) -> None:
        """Sends what was not sent yet."""


class Untraced:
    """The adapter that does nothing, and its one span."""

    on = False
    context = ""

    @contextmanager
    def span(self, name: str, side: Side, *, parent: str = "", **attributes: Attribute) -> Iterator[Span]:  # noqa: ARG002
        yield self

    def set(self, **attributes: Attribute) -> None:
        pass

    def child(self, name: str, started_ns: int, ended_ns: int, **attributes: Attribute) -> None:
        pass

    def close(self) -> None:
        pass


def start(service: str, environ: Mapping[str, str] | None = None) -> Tracing:
    """What the OTEL_* variables ask for; `service` is its name unless OTEL_SERVICE_NAME gives another.

    Raises UsageError when they ask for what camq cannot do, or the extra is not installed.
    """
    environ = os.environ if environ is None else environ
    exporter = environ.get("OTEL_TRACES_EXPORTER", "")
    if not any(map(environ.get, _ENDPOINTS)) or exporter == "none" or environ.get("OTEL_SDK_DISABLED") == "true":
        return Untraced()
    if exporter not in ("", "otlp"):
        raise UsageError(f"OTEL_TRACES_EXPORTER={exporter}: camq knows otlp and none")
    for name in _PROTOCOLS:
        if (protocol := environ.get(name, "")) not in ("", "http/protobuf"):
            raise UsageError(f"{name}={protocol}: camq sends http/protobuf, which collectors take on port 4318")
    try:
        from shared.tracing.otel import OpenTelemetry
    except ImportError as error:
        asked = next(name for name in _ENDPOINTS if environ.get(name))
        raise UsageError(
            f"{asked} asks for traces, but their packages are not installed ({error.name}):"
            " pip install 'camq[tracing]', or set OTEL_TRACES_EXPORTER=none"
        ) from error
    return OpenTelemetry.to_collector(service)
