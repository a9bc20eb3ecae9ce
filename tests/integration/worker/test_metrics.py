"""What workers and the exporter tell Prometheus."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from shutil import which
from threading import Event
from time import monotonic

import msgspec
import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest

from shared.broker import Sender
from shared.config import Settings
from shared.contract import ChunkMessage, ErrorInfo, ImageState, ModelCard, Options, WorkerInfo
from shared.errors import UnreachableError
from shared.ledger import Claim, Reaped, RedisLedger
from tests.support.jobs import ledgers
from tests.support.jobs.ledgers import MODEL
from tests.support.waiting import wait_until
from worker.observe import exporter
from worker.observe.exporter import Fleet
from worker.observe.metrics import Metrics, Usage
from worker.timing.measurements import Measurements

MESSAGE = ChunkMessage(job="j", chunk="000000", attempt=2)
CLAIM = Claim(MESSAGE, Options(), "m", "bulk", "000000")


@pytest.fixture
def measured() -> Measurements:
    return Measurements()


@pytest.fixture
def metrics(measured: Measurements) -> Metrics:
    found = Metrics(measured)
    found.watch("camq_chunks_in_flight", "Chunks.", lambda: 2)
    found.watch_device(lambda: Usage(total=100, used=50, process=10, busy=0.5))
    return found


@pytest.fixture
def ledger(settings: Settings, empty_redis: redis.Redis) -> Iterator[RedisLedger]:
    with closing(RedisLedger(settings)) as found:
        yield found


@pytest.fixture
def fleet(ledger: RedisLedger, settings: Settings) -> Iterator[CollectorRegistry]:
    """The exporter's registry; one worker is expected to do 2 images per second."""
    registry = CollectorRegistry()
    with closing(Sender(settings)) as sender:
        registry.register(Fleet(ledger, sender, worker_rate=2))
        yield registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_images_are_counted_when_the_ledger_took_them(measured: Measurements, metrics: Metrics) -> None:
    """By outcome and code; an attempt that lost its lease counts no image."""
    states = [ImageState.SUCCEEDED, ImageState.FAILED, ImageState.SUCCEEDED, ImageState.CANCELLED]
    measured.committed(states, {1: ErrorInfo("truncated", "cut")})
    measured.lost()

    counted = {
        (outcome, code): value(metrics.registry, "camq_images_total", outcome=outcome, code=code)
        for outcome, code in [("succeeded", ""), ("failed", "truncated"), ("failed", "poison"), ("cancelled", "")]
    }
    assert counted == {("succeeded", ""): 2, ("failed", "truncated"): 1, ("failed", "poison"): 0, ("cancelled", ""): 1}
    assert value(metrics.registry, "camq_chunks_total", outcome="committed") == 1
    assert value(metrics.registry, "camq_chunks_total", outcome="lost") == 1


def test_claims_retries_and_what_the_reaper_found_are_counted(measured: Measurements, metrics: Metrics) -> None:
    """A second attempt is a retry; a refusal counts under its reason."""
    measured.claimed(CLAIM)
    measured.claimed("stale")
    measured.reaped(Reaped(leases=3, hints=2, quarantined=1))
    measured.handed_back()

    wanted = {"camq_retries_total": 1, "camq_lease_expiries_total": 3, "camq_lost_messages_total": 2}
    assert {name: value(metrics.registry, name) for name in wanted} == wanted
    assert value(metrics.registry, "camq_quarantined_chunks_total") == 1
    assert value(metrics.registry, "camq_claims_total", answer="claimed") == 1
    assert value(metrics.registry, "camq_claims_total", answer="stale") == 1
    assert value(metrics.registry, "camq_chunks_total", outcome="handed_back") == 1


def test_stage_times_reach_heartbeat_and_histogram(measured: Measurements, metrics: Metrics) -> None:
    """Also of a stage that failed: its time was spent."""
    with pytest.raises(ValueError, match="broken"), measured.stage("decode"):
        raise ValueError("broken")

    def sample(kind: str, **labels: str) -> float | None:
        return value(metrics.registry, f"camq_stage_seconds_{kind}", stage="decode", **labels)

    count, seconds = measured.totals()["decode"]
    assert count == sample("count") == sample("bucket", le="+Inf") == 1
    assert sample("sum") == seconds
    assert sample("bucket", le="120.0") == 1


def test_micro_batches_are_counted_by_size(measured: Measurements, metrics: Metrics) -> None:
    """A bucket holds what is as large as its end, and what is smaller."""
    measured.batch(3)
    measured.batch(3)
    measured.batch(300)

    assert measured.batch_sizes() == {3: 2, 300: 1}
    buckets = {le: value(metrics.registry, "camq_batch_images_bucket", le=le) for le in ("2.0", "4.0", "256.0", "+Inf")}
    assert buckets == {"2.0": 0, "4.0": 2, "256.0": 2, "+Inf": 3}
    assert value(metrics.registry, "camq_batch_images_sum") == 306


def test_the_backlog_is_told_in_images_chunks_and_seconds(ledger: RedisLedger, fleet: CollectorRegistry) -> None:
    """Without workers it never ends; one worker would need the time that its expected rate gives."""
    ledger.publish(ModelCard(model=MODEL, labels=("a",), input_size=8, methods=("cam",)))
    ledgers.submit(ledger, chunks=3, size=4)
    hints = ledger.refill(MODEL)
    ledgers.claim(ledger, hints[0])
    ledgers.submit(ledger, "done", chunks=0)

    def images(state: str) -> float | None:
        return value(fleet, "camq_backlog_images", model=MODEL, priority="bulk", state=state)

    def chunks(state: str) -> float | None:
        return value(fleet, "camq_backlog_chunks", model=MODEL, priority="bulk", state=state)

    assert (images("queued"), images("running")) == (8, 4)
    assert (chunks("pending"), chunks("sent"), chunks("held")) == (1, 1, 1)
    assert value(fleet, "camq_jobs", model=MODEL, priority="bulk") == 1
    assert value(fleet, "camq_backlog_seconds", model=MODEL) == float("inf")
    assert value(fleet, "camq_backlog_worker_seconds", model=MODEL) == 6
    assert value(fleet, "camq_redis_up") == 1


def test_the_measured_rate_of_a_worker_is_remembered(ledger: RedisLedger, fleet: CollectorRegistry) -> None:
    """So that the autoscaler knows what a worker is worth when none runs any more."""
    ledger.publish(ModelCard(model=MODEL, labels=("a",), input_size=8, methods=("cam",)))
    ledgers.submit(ledger, chunks=2, size=4)
    info = WorkerInfo(worker="w", host="h", pid=1, device="cpu", models=(MODEL,), state="busy", images_per_second=4.0)
    ledger.beat(info)
    assert value(fleet, "camq_workers", model=MODEL, state="busy") == 1
    assert value(fleet, "camq_backlog_seconds", model=MODEL) == 2
    assert value(fleet, "camq_workers_waiting", model=MODEL) == 0
    ledger.beat(msgspec.structs.replace(info, waiting_for="S3 storage is away"))
    assert value(fleet, "camq_workers_waiting", model=MODEL) == 1
    ledger.leave(info)
    assert value(fleet, "camq_workers", model=MODEL, state="busy") == 0
    assert value(fleet, "camq_backlog_worker_seconds", model=MODEL) == 2
    assert value(fleet, "camq_backlog_seconds", model=MODEL) == float("inf")


def test_without_redis_only_its_absence_is_told() -> None:
    """Old numbers would look like news."""
    settings = Settings(redis_url="redis://127.0.0.1:1/0")
    registry = CollectorRegistry()
    with closing(RedisLedger(settings)) as ledger, closing(Sender(settings)) as sender:
        registry.register(Fleet(ledger, sender, worker_rate=1))
        assert [(s.name, s.value) for f in registry.collect() for s in f.samples] == [("camq_redis_up", 0)]


def test_a_redis_that_hangs_is_told_in_time_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that is silent takes longer than Prometheus waits; scrapes do not pile up behind it."""
    monkeypatch.setattr(exporter, "ANSWER_S", 0.05)
    asked, hangs = [], Event()

    class Ledger:
        @property
        def scripts(self) -> None:
            asked.append(None)
            hangs.wait()
            raise UnreachableError("away")

    registry = CollectorRegistry()
    registry.register(Fleet(Ledger(), None))  # type: ignore[arg-type]
    began = monotonic()
    assert [value(registry, "camq_redis_up") for _ in range(3)] == [0, 0, 0]
    assert monotonic() - began < 5
    assert len(asked) == 1
    hangs.set()
    wait_until(lambda: value(registry, "camq_redis_up") == 0 and len(asked) > 1, "it is asked again")


@pytest.mark.skipif(which("promtool") is None, reason="no promtool here (Debian package prometheus)")
def test_names_follow_the_conventions(metrics: Metrics, ledger: RedisLedger, fleet: CollectorRegistry) -> None:
    """As Prometheus' own linter sees them: base units, `_total`, help texts."""
    ledger.publish(ModelCard(model=MODEL, labels=("a",), input_size=8, methods=("cam",)))
    for registry in (metrics.registry, fleet):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr, checked.stdout) == (0, b"", b"")
