"""Traces by OpenTelemetry's SDK; see `shared.tracing`, which imports this only when traces are asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread
from typing import TYPE_CHECKING, Self

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from shared.tracing import Attribute, Side

log = logging.getLogger("camq")

#: A collector that is away must not keep a command from ending; the SDK itself would try for ten seconds.
GOODBYE_S = 2.0
_PREFIX = "camq."
_KINDS = {"producer": trace.SpanKind.PRODUCER, "consumer": trace.SpanKind.CONSUMER}
_CONTEXT = TraceContextTextMapPropagator()


class OpenTelemetry:
    """Implements `shared.tracing.Tracing`. The provider is our own: an application that embeds a `Client` keeps its
    global one, and our spans still stand below its current span."""

    on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("camq", version("camq"))

    @classmethod
    def to_collector(cls, service: str) -> Self:
        """Sends in batches from a thread of its own; where to, how many and how patiently say OTEL_* variables."""
        # It retries by itself and says at the end when that did not help; each single try is no news.
        logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.ERROR)
        own = Resource({SERVICE_NAME: service, "service.version": version("camq")})
        provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    @contextmanager
    def span(self, name: str, side: Side, *, parent: str = "", **attributes: Attribute) -> Iterator[_Span]:
        above = _CONTEXT.extract({"traceparent": parent}) if parent else None
        with self._tracer.start_as_current_span(
            name, above, kind=_KINDS[side], attributes=_named(attributes)
        ) as current:
            yield _Span(self._tracer, current)

    def close(self) -> None:
        ending = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(GOODBYE_S)
        if ending.is_alive():
            log.warning("the last traces were not sent: the collector at OTEL_EXPORTER_OTLP_ENDPOINT does not answer")


class _Span:
    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._above = trace.set_span_in_context(span)
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier, self._above)
        self.context = carrier.get("traceparent", "")

    def set(self, **attributes: Attribute) -> None:
        self._span.set_attributes(_named(attributes))

    def child(self, name: str, started_ns: int, ended_ns: int, **attributes: Attribute) -> None:
        span = self._tracer.start_span(name, self._above, attributes=_named(attributes), start_time=started_ns)
        span.end(ended_ns)


def _named(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {_PREFIX + name: value for name, value in attributes.items()}
