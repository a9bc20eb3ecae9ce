"""`python -m worker exporter`: what Prometheus and an autoscaler must know of the whole fleet, also when no
worker runs. It reads the ledger at each scrape; one of it is enough. Never torch."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from threading import Lock, Thread

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.broker import Sender
from shared.config import Settings
from shared.contract import WorkerInfo
from shared.errors import UnreachableError, UsageError
from shared.ledger import RedisLedger
from shared.ledger.backlog import read_backlog
from worker.observe.health import LOOK_S, Health, serving
from worker.timing.periodic import Periodic

log = structlog.get_logger()

#: Images per second of one worker, until one was measured.
EXPECTED_RATE = 20.0
#: A scrape is answered within this time, though a name server or Redis may be silent for longer: Prometheus gives up
#: after ten seconds, and would not learn that Redis is what is away.
ANSWER_S = 5.0
STATES = ("ready", "busy", "draining")


class Fleet(Collector):
    """The gauges. While Redis is away there is `camq_redis_up` alone."""

    def __init__(self, ledger: RedisLedger, sender: Sender, worker_rate: float = EXPECTED_RATE) -> None:
        self._lock = Lock()
        self._look: Future[list[GaugeMetricFamily]] | None = None
        self._ledger = ledger
        self._sender = sender
        self._expected_rate = worker_rate
        self._rates: dict[str, float] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One look at the ledger. One that takes too long is waited for by the next scrape as well."""
        with self._lock:
            if self._look is None or self._look.done():
                self._look = Future()
                # A daemon: one that hangs keeps nobody from stopping.
                Thread(target=self._answer, args=(self._look,), name="look", daemon=True).start()
            look = self._look
        try:
            families = look.result(ANSWER_S)
        except (UnreachableError, TimeoutError):
            families = []
        yield GaugeMetricFamily("camq_redis_up", "Whether Redis answered this scrape.", value=bool(families))
        yield from families

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing beforehand, so that registering does not ask Redis."""
        return []

    def _answer(self, look: Future[list[GaugeMetricFamily]]) -> None:
        try:
            look.set_result([*self._work(), self._memory()])
        except BaseException as error:  # noqa: BLE001 - raised again where the answer is waited for
            look.set_exception(error)

    def _work(self) -> Iterator[GaugeMetricFamily]:
        jobs = _gauge("camq_jobs", "Jobs with work to do.", "model", "priority")
        images = _gauge("camq_backlog_images", "Images not finished yet.", "model", "priority", "state")
        chunks = _gauge("camq_backlog_chunks", "Chunks not finished yet.", "model", "priority", "state")
        messages = _gauge("camq_queue_messages", "Messages that wait in the broker.", "model", "priority")
        outstanding: Counter[str] = Counter()
        for (model, priority), found in read_backlog(self._ledger.scripts).items():
            jobs.add_metric([model, priority], found.jobs)
            images.add_metric([model, priority, "queued"], found.queued)
            images.add_metric([model, priority, "running"], found.running)
            for state in ("pending", "sent", "held"):
                chunks.add_metric([model, priority, state], getattr(found, state))
            messages.add_metric([model, priority], self._sender.depth(model, priority))
            outstanding[model] += found.queued + found.running
        yield from (jobs, images, chunks, messages)
        yield from self._time(outstanding)

    def _time(self, outstanding: Counter[str]) -> Iterator[GaugeMetricFamily]:
        workers = _gauge(
            "camq_workers", "Live workers; while they load their model, it is not known.", "model", "state"
        )
        waiting = _gauge("camq_workers_waiting", "Live workers whose work waits for a service or its rights.", "model")
        fleet = _gauge("camq_backlog_seconds", "Time to the end of the backlog for the workers there are.", "model")
        one = _gauge("camq_backlog_worker_seconds", "Time to the end of the backlog for one worker.", "model")
        listed = self._ledger.workers()
        workers.add_metric(["", "starting"], sum(worker.state == "starting" for worker in listed))
        for model, left in outstanding.items():
            mine = [worker for worker in listed if model in worker.models]
            for state in STATES:
                workers.add_metric([model, state], sum(worker.state == state for worker in mine))
            waiting.add_metric([model], sum(worker.waiting_for is not None for worker in mine))
            seconds = left / self._rate(model, mine)
            at_work = sum(worker.state in ("ready", "busy") for worker in mine)
            one.add_metric([model], seconds)
            fleet.add_metric([model], seconds / at_work if at_work else _no_end(left))
        yield from (workers, waiting, fleet, one)

    def _rate(self, model: str, workers: list[WorkerInfo]) -> float:
        """Images per second of one worker: measured now, or the last time any was busy, or as expected."""
        rates = [w.images_per_second for w in workers if w.state == "busy" and w.images_per_second > 0]
        if rates:
            self._rates[model] = sum(rates) / len(rates)
        return self._rates.get(model, self._expected_rate)

    def _memory(self) -> GaugeMetricFamily:
        memory = _gauge("camq_redis_memory_bytes", "Memory of Redis; a limit of 0 is none.", "kind")
        with self._ledger.scripts.translated():
            info = self._ledger.scripts.client.info("memory")
        memory.add_metric(["used"], info["used_memory"])
        memory.add_metric(["limit"], info["maxmemory"])
        return memory


def serve(settings: Settings) -> int:
    """Runs until SIGTERM or Ctrl-C."""
    if not settings.http_port:
        raise UsageError("the exporter needs a port: set CAMQ_HTTP_PORT")
    registry, health, stop = CollectorRegistry(), Health(), threading.Event()
    with closing(RedisLedger(settings)) as ledger, closing(Sender(settings)) as sender:
        health.services = {"redis": ledger.check}
        health.state = lambda: "ready"
        health.look()
        registry.register(Fleet(ledger, sender))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        looks = Periodic("services", LOOK_S, health.look)
        with serving(settings.http_host, settings.http_port, health, registry) as port:
            log.info("exporter ready", port=port)
            stop.wait()
        looks.abandon()
    return 0


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _no_end(left: int) -> float:
    """With nobody at work a backlog never ends, and no backlog needs no time."""
    return float("inf") if left else 0.0
