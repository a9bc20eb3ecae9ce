"""Ties a worker's parts to its metrics and its health; the one place that knows both sides."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from celery import Celery

from shared.config import Settings
from shared.ledger import RedisLedger
from worker.chunk.leases import LeaseKeeper
from worker.devices.gpus import Utilisation
from worker.image.explainer import Explainer
from worker.observe.health import LOOK_S, Health, Pulse, serving, watch_main_loop
from worker.observe.metrics import Metrics, usage
from worker.timing.measurements import Measurements
from worker.timing.periodic import Periodic
from worker.upkeep.heartbeat import Heart


class Telemetry:
    """Work is always measured; metrics and probes are served only with CAMQ_HTTP_PORT."""

    def __init__(self, settings: Settings, measurements: Measurements) -> None:
        self._settings = settings
        self.metrics = Metrics(measurements)
        self.health = Health()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """`/live`, `/ready` and `/metrics` answer while the block lasts, if there is a port for them."""
        settings = self._settings
        if not settings.http_port:
            yield
            return
        with serving(settings.http_host, settings.http_port, self.health, self.metrics.registry):
            yield

    def watch(
        self,
        *,
        app: Celery,
        heart: Heart,
        keeper: LeaseKeeper,
        explainer: Explainer,
        ledger: RedisLedger,
        gpu: str | None,
    ) -> Callable[[], None]:
        """Everything is built: watch it. Calling what is returned ends the looks at the services."""
        network, metrics, health, pulse = explainer.network, self.metrics, self.health, Pulse()
        metrics.model.info({"worker": heart.worker, "model": network.model, "device": heart.device})
        metrics.watch("camq_chunks_in_flight", "Chunks in this worker's hands.", lambda: keeper.held)
        metrics.watch("camq_worker_ready", "1 while /ready says yes.", lambda: not health.ready())
        busy = Utilisation(gpu) if gpu else None
        metrics.watch_device(lambda: usage(network.device, busy))
        watch_main_loop(app, pulse)
        health.watch("main loop", lambda: pulse.last)
        health.watch("engine", lambda: explainer.batcher.last_beat)
        health.services = {"redis": ledger.check, "storage": explainer.store.check}
        health.state = lambda: heart.info().state
        if not self._settings.http_port:
            return lambda: None
        return Periodic("services", LOOK_S, health.look).stop
