"""The composition root: settings → device → network → engine → adapters → Celery app. Nothing else builds."""

import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import celery.apps.worker
import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from shared import logs, tracing
from shared.broker import Sender, make_app, worker_queues
from shared.config import Settings
from shared.contract import ModelCard
from shared.errors import UnreachableError
from shared.ledger import RedisLedger
from shared.storage import S3Store
from worker.chunk import tasks, transport
from worker.chunk.consumer import limit_remote_control
from worker.chunk.explain_task import Calls
from worker.chunk.leases import LeaseKeeper
from worker.chunk.pipeline import Pipeline
from worker.chunk.quarantine import Quarantine
from worker.chunk.traces import ChunkTraces
from worker.core.model.network import Network
from worker.devices import device as devices
from worker.image.build import URGENT_IMAGES, explaining, images_on_their_way, logged_outage
from worker.observe.telemetry import Telemetry
from worker.timing.measurements import Measurements
from worker.timing.periodic import Periodic
from worker.upkeep.heartbeat import Heart
from worker.upkeep.reaper import Reaper
from worker.upkeep.shutdown import Shutdown, listen_until_celery_does
from worker.upkeep.webhooks import WebhookSender

log = structlog.get_logger()

#: Between two showings of the model's card.
CARD_S = 60.0


@contextmanager
def running(settings: Settings, gpu: str | None = None) -> Iterator[tuple[Celery, Shutdown]]:
    """The Celery app of a worker that is ready for work, and its way out; leaving the block cleans up.

    `gpu` is the UUID of the device whose slot this process claimed.
    Raises UnreachableError, DeniedError, ModelError or UsageError with the reason when it cannot get ready.
    """
    with ExitStack() as stack:
        spans = stack.enter_context(closing(tracing.start("camq-worker")))
        ledger = stack.enter_context(closing(RedisLedger(settings)))
        ledger.check()
        with closing(S3Store.from_settings(settings)) as store:
            store.ensure_bucket()

        measurements = Measurements()
        telemetry = Telemetry(settings, measurements)
        stack.enter_context(telemetry.serving())
        webhooks = WebhookSender(ledger, settings, measurements.webhook)
        keeper = LeaseKeeper(ledger)
        outage = logged_outage()
        heart = Heart(ledger, settings.chunks_in_flight, keeper, measurements, outage)
        shutdown = Shutdown(keeper, settings.drain_s, tell=_unless_unreachable(heart.beat))
        logs.always(worker=heart.worker)
        heart.beat()
        stack.callback(_unless_unreachable(heart.stop))
        stack.callback(Periodic("heartbeat", settings.heartbeat_s, heart.beat).stop)
        stack.callback(Periodic("leases", settings.lease_s / 4, keeper.renew).stop)

        explainer = stack.enter_context(
            explaining(
                settings,
                stage=measurements.stage,
                spent=measurements.spent,
                on_batch=measurements.batch,
                outage=outage,
            )
        )
        network = explainer.network
        heart.device = devices.describe(network.device, settings.precision)
        sender = stack.enter_context(closing(Sender(settings)))
        reaper = Reaper(ledger, sender, network.model, measurements)
        quarantine = stack.enter_context(closing(Quarantine(settings)))
        pipeline = Pipeline(
            ledger=ledger,
            store=explainer.store,
            explainer=explainer,
            quarantine=quarantine,
            keeper=keeper,
            patience=explainer.patience,
            measurements=measurements,
            traces=ChunkTraces(spans, heart.worker),
            refill=reaper.refill,
            worker=heart.worker,
            model=network.model,
            images=images_on_their_way(settings),
            urgent_images=URGENT_IMAGES,
        )
        stack.callback(pipeline.close)

        transport.guard()
        app = make_app(settings)
        app.conf.task_queues = worker_queues(network.model)
        app.conf.worker_consumer = "worker.chunk.consumer:Consumer"

        def card() -> ModelCard:
            return card_of(network, explainer.batcher.engine)

        calls = Calls(
            ledger=ledger,
            store=explainer.store,
            pipeline=pipeline,
            patience=explainer.patience,
            check_taking=keeper.check_taking,
            card=card(),
            in_place=explainer.in_place,
        )
        tasks.register(app, pipeline, calls)
        signals.worker_shutting_down.connect(shutdown.begin)
        stack.callback(signals.worker_shutting_down.disconnect, shutdown.begin)

        stack.callback(
            telemetry.watch(app=app, heart=heart, keeper=keeper, explainer=explainer, ledger=ledger, gpu=gpu)
        )
        ledger.publish(card())
        # A Redis that lost its data, or a year of uptime, must not leave producers without it.
        stack.callback(Periodic("card", CARD_S, lambda: ledger.publish(card())).stop)
        heart.network = network
        heart.beat()
        stack.callback(Periodic("reaper", settings.reap_s, reaper.reap).stop)
        # A receiver may be silent: neither the reaper nor the worker's end waits for it.
        stack.callback(Periodic("webhooks", settings.reap_s, webhooks.send_due).abandon)
        log.info("ready", model=network.model, device=heart.device)
        yield app, shutdown


def card_of(network: Network, engine: str) -> ModelCard:
    """What this worker tells producers of its model, and of what runs it."""
    own = [name for name, _ in network.module.named_modules() if name]
    return ModelCard(
        model=network.model,
        labels=network.labels,
        input_size=network.spec.size,
        methods=network.methods,
        layers=tuple(dict.fromkeys([*own, network.target_layer])),
        target_layer=network.target_layer,
        reason=network.reason,
        input_sizes=network.input_sizes,
        engine=engine,
        outputs=network.outputs,
        preprocessing=network.spec,
    )


def serve(settings: Settings, gpu: str | None = None) -> int:
    """Runs the worker until it is stopped; the exit status of the process."""
    listen_until_celery_does()
    # Celery warns who runs as root, as containers do, that a pickle could do harm; we accept none.
    warnings.simplefilter("ignore", SecurityWarning)
    signals.setup_logging.connect(_logging_is_set_up)
    limit_remote_control()
    # Celery prints about a stop past every log.
    celery.apps.worker.safe_say = lambda *_: None
    with running(settings, gpu) as (app, shutdown):
        worker = app.Worker(
            pool="threads",
            concurrency=settings.chunks_in_flight,
            hostname=f"camq-{os.getpid()}@{socket.gethostname()}",
            loglevel="WARNING",
            # Gossip and mingle talk to every other worker, which camq's workers have no use for. `without_heartbeat` is
            # not among these: with it task events could not be switched on while the worker runs.
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        worker.start()
    shutdown.leave()
    return int(worker.exitcode or 0)


def _logging_is_set_up(**_: object) -> None:
    """Celery asks; without an answer it would set the root logger's level, and our lines would be lost."""


def _unless_unreachable(call: Callable[[], None]) -> Callable[[], None]:
    def quietly() -> None:
        try:
            call()
        except UnreachableError as error:
            log.warning("Redis was not told that this worker stops", reason=str(error))

    return quietly
