"""Traces from submit to commit, and what they cost who does not want them: nothing."""

import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from producer.services import Services
from shared import tracing
from shared.contract import ImageRecord, ImageRef, ImageState
from shared.errors import LostLeaseError, UsageError
from shared.ledger import RedisLedger
from shared.outage import Patience
from shared.tracing import Untraced, otel
from shared.tracing.otel import OpenTelemetry
from tests.support.jobs.scripted_worker import BROKEN, CARD, ScriptedWorker
from tests.support.jobs.submitting import CountingStore, pictures, send
from tests.support.servers.collector import collecting
from tests.support.worker.chunk_desk import MESSAGE, Desk
from worker.chunk.leases import LeaseKeeper
from worker.chunk.pipeline import Outcome, Pipeline
from worker.chunk.traces import ChunkTraces
from worker.timing.measurements import Measurements, Stage

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(exporter: InMemorySpanExporter) -> OpenTelemetry:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetry(provider)


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """The finished spans by name, of which there is one each."""
    found = {span.name: span for span in exporter.get_finished_spans()}
    assert len(found) == len(exporter.get_finished_spans())
    return found


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


@dataclass
class Explainer:
    """A declared test adapter: every image is downloaded and drawn for no time, and the second fails."""

    stage: Stage

    def record(
        self, ref: ImageRef, claim: Any, check: Callable[[], None], maps: Any = None, _: Any = None
    ) -> ImageRecord:
        for name in ("download", "render"):
            with self.stage(name):
                check()
        state = ImageState.FAILED if ref.index == 1 else ImageState.SUCCEEDED
        error = None if state is ImageState.SUCCEEDED else BROKEN
        return ImageRecord(index=ref.index, source=ref.source, state=state, error=error)


@pytest.fixture
def pipeline(ledger: RedisLedger, store: CountingStore, traced: OpenTelemetry) -> Iterator[Pipeline]:
    """A worker's pipeline on the real ledger, traced."""
    traces, keeper = ChunkTraces(traced, "w-1"), LeaseKeeper(ledger)
    measurements = Measurements()
    found = Pipeline(
        ledger=ledger,
        store=store,
        explainer=Explainer(measurements.stage),  # type: ignore[arg-type]
        quarantine=None,  # type: ignore[arg-type]
        keeper=keeper,
        patience=Patience(10),
        measurements=measurements,
        traces=traces,
        refill=lambda: None,
        worker="w-1",
        model=CARD.model,
        images=2,
        urgent_images=2,
    )
    with closing(found):
        yield found


def test_a_job_is_one_trace_from_submit_to_commit(
    services: Services,
    worker: ScriptedWorker,
    pipeline: Pipeline,
    traced: OpenTelemetry,
    exporter: InMemorySpanExporter,
) -> None:
    """The chunk's span stands below the submission's, its stages below the chunk's; each says what it belongs to."""
    services.__dict__["tracing"] = traced
    job = send(services, pictures(3))
    [hint] = services.ledger.attempts(job)
    assert pipeline.run(hint) is Outcome.DONE
    assert services.ledger.status(job).succeeded == 2

    found = spans(exporter)
    submit, chunk = found["submit"], found["chunk"]
    assert found.keys() == {"submit", "chunk", "download", "render", "commit"}
    assert len({span.context.trace_id for span in found.values()}) == 1
    assert (parent(submit), parent(chunk)) == (None, submit.context.span_id)
    assert {parent(found[name]) for name in ("download", "render", "commit")} == {chunk.context.span_id}
    assert submit.attributes == {
        "camq.job": job, "camq.model": worker.card.model, "camq.priority": "high", "camq.images": 3,
    }  # fmt: skip
    assert chunk.attributes == {
        "camq.job": job, "camq.chunk": "000000", "camq.attempt": 1, "camq.worker": "w-1",
        "camq.model": worker.card.model, "camq.priority": "high", "camq.quarantine": False,
        "camq.images": 3, "camq.failed": 1,
    }  # fmt: skip
    download = found["download"]
    assert (download.attributes or {})["camq.times"] == 3
    assert chunk.start_time <= download.start_time <= download.end_time <= chunk.end_time


def test_a_job_nobody_traced_looks_to_the_ledger_as_before(services: Services, worker: ScriptedWorker) -> None:
    """Its record has no field more, and its claim says that it came from nowhere."""
    job = send(services, pictures(1))
    [hint] = services.ledger.attempts(job)
    claim = services.ledger.claim(hint, "token", "w")
    assert not isinstance(claim, str)
    assert claim.trace == ""
    assert "trace" not in services.ledger.scripts.client.hgetall(f"camq:job:{job}")


def test_a_chunk_that_was_not_sampled_leaves_nothing(exporter: InMemorySpanExporter) -> None:
    """The submission decides for the whole job, so a trace is whole or not there."""
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    one = OpenTelemetry(provider)
    with one.span("submit", "producer") as span:
        above = span.context
    always = TracerProvider(shutdown_on_exit=False)
    always.add_span_processor(SimpleSpanProcessor(exporter))
    with OpenTelemetry(always).span("chunk", "consumer", parent=above):
        pass
    assert above
    assert not exporter.get_finished_spans()


def test_a_submission_of_a_traced_application_is_part_of_its_trace(
    traced: OpenTelemetry, exporter: InMemorySpanExporter
) -> None:
    """Below its current span, whoever made that one. What is no trace at all begins one of its own."""
    application = TracerProvider(shutdown_on_exit=False).get_tracer("theirs")
    with application.start_as_current_span("request") as request, traced.span("submit", "producer"):
        pass
    assert parent(spans(exporter)["submit"]) == request.get_span_context().span_id
    exporter.clear()
    with traced.span("chunk", "consumer", parent="not a trace"):
        pass
    assert parent(spans(exporter)["chunk"]) is None


def test_an_attempt_that_did_not_count_says_why(traced: OpenTelemetry, exporter: InMemorySpanExporter) -> None:
    """Its span is an error with the reason."""

    def lose(*_: object) -> None:
        raise LostLeaseError("another attempt owns the chunk")

    with closing((desk := Desk(tracing=traced)).pipeline):
        desk.ledger.commit = lose  # type: ignore[method-assign]
        assert desk.pipeline.run(MESSAGE) is Outcome.SKIPPED
    chunk = spans(exporter)["chunk"]
    assert chunk.status.description == "LostLeaseError: another attempt owns the chunk"
    assert (chunk.attributes or {})["camq.job"] == "job"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
        ENDPOINT | {"OTEL_SDK_DISABLED": "true"},
    ],
)
def test_traces_are_off_unless_asked_for(environ: dict[str, str]) -> None:
    """An endpoint asks; the standard switches take it back."""
    assert isinstance(tracing.start("camq", environ), Untraced)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: camq sends http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER=zipkin: camq knows otlp and none"),
    ],
)
def test_what_cannot_be_done_is_refused(variable: str, value: str, reason: str) -> None:
    """Spans that went nowhere would be missed on the day they are needed."""
    with pytest.raises(UsageError, match=reason):
        tracing.start("camq", ENDPOINT | {variable: value})


def test_traces_without_their_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name of the extra, and the way out."""
    monkeypatch.delitem(sys.modules, "shared.tracing.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    remedy = r"OTEL_EXPORTER_OTLP_ENDPOINT asks .* pip install 'camq\[tracing\]', or set OTEL_TRACES_EXPORTER=none"
    with pytest.raises(UsageError, match=remedy):
        tracing.start("camq", ENDPOINT)


def test_spans_arrive_at_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over OTLP, at the address that the standard variable names, under the service's name; closing sends the last."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        with closing(tracing.start("camq-worker")) as spans, spans.span("chunk", "consumer", job="j", attempt=2):
            pass
    [span] = collector.spans
    assert (span.service, span.name, span.attributes) == ("camq-worker", "chunk", {"camq.job": "j", "camq.attempt": 2})


def test_a_silent_collector_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in a line that the last traces are lost."""
    monkeypatch.setattr(otel, "GOODBYE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, caplog.at_level(logging.WARNING):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with closing(tracing.start("camq")) as spans, spans.span("submit", "producer"):
            pass
    assert "the last traces were not sent" in caplog.text
