"""The composition root: settings → device → network → engine → adapters → Celery app. Nothing else builds."""

import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import structlog
import torch
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from shared import logs, tracing
from shared.broker import Sender, make_app, worker_queues
from shared.config import Settings
from shared.contract import ModelCard
from shared.errors import UnreachableError
from shared.ledger import RedisLedger
from shared.output import check_output
from shared.storage import S3Store
from worker.chunk import tasks
from worker.chunk.explain_task import Calls
from worker.chunk.leases import LeaseKeeper
from worker.chunk.pipeline import URGENT_IMAGES, Pipeline
from worker.chunk.quarantine import Quarantine
from worker.core.engine.cuda import engine_for
from worker.core.model.network import Network, load_network
from worker.core.types import Limits
from worker.devices import device as devices
from worker.devices.cores import cores
from worker.image.batcher import Batcher, Runs
from worker.image.compute import Compute
from worker.image.decode_pool import Decoding
from worker.image.explainer import Explainer
from worker.image.weights_file import local_weights
from worker.observe.instrumented import ObservedEngine, ObservedFlow
from worker.observe.telemetry import Telemetry
from worker.timing.outage import Patience
from worker.timing.periodic import Periodic
from worker.timing.stages import Stage, StageClock
from worker.timing.throughput import Meter
from worker.timing.traces import ChunkTraces
from worker.upkeep.heartbeat import Heart
from worker.upkeep.reaper import Reaper
from worker.upkeep.shutdown import Shutdown, listen_until_celery_does
from worker.upkeep.webhooks import WebhookSender

log = structlog.get_logger()

DEFAULT_MODEL = "resnet18"
#: Images on their way per image of a micro-batch: while one batch runs, one is being prepared and one drawn.
IMAGES_PER_BATCH_PLACE = 3
#: Between two showings of the model's card.
CARD_S = 60.0
#: A process whose device broke ends with this code, and its chunks run elsewhere.
EXIT_FATAL = 70


def load(settings: Settings) -> Network:
    """The network that the settings name, on the device they name. Raises ModelError or UsageError."""
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    # TF32 keeps ten bits of a float32's mantissa, and answers would then depend on the batch by more than 1e-5.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return load_network(
        settings.model or DEFAULT_MODEL,
        weights=local_weights(settings),
        labels=Path(settings.labels) if settings.labels else None,
        device=devices.limit(devices.choose(settings.device), settings.device_memory),
        dtype=devices.PRECISIONS[settings.precision],
    )


@contextmanager
def explaining(
    settings: Settings, *, stage: Stage, on_stuck: Callable[[], None], observe: Callable[[Runs], Runs] = lambda e: e
) -> Iterator[Explainer]:
    """What one picture needs, from its bytes in storage to its overlays there: the model is loaded and warm."""
    with ExitStack() as stack:
        connections = images_on_their_way(settings) + URGENT_IMAGES + settings.chunks_in_flight
        store = stack.enter_context(closing(S3Store.from_settings(settings, pool_size=connections)))
        network = load(settings)
        engine = engine_for(network, settings.max_batch_size, log.warning)
        engine.warm_up()
        if engine.manner != "eager":
            log.info("micro-batches", manner=engine.manner)
        batcher = Batcher(observe(engine), settings.max_batch_delay_ms / 1000, stage, _die)
        engine.beat = batcher.beat
        stack.callback(batcher.close)
        threads = settings.compute_threads or cores()
        compute = stack.enter_context(closing(Compute(threads, settings.decode_s, on_stuck)))
        decoding = stack.enter_context(closing(Decoding(settings, threads)))
        yield Explainer(
            network=network,
            batcher=batcher,
            store=store,
            patience=Patience(settings.outage_limit),
            limits=Limits(settings.max_image_bytes, settings.max_image_pixels),
            in_place=settings.readable_in_place(),
            checked_output=partial(check_output, settings=settings),
            compute=compute,
            decoding=decoding,
            stage=stage,
        )


@contextmanager
def running(settings: Settings, gpu: str | None = None) -> Iterator[tuple[Celery, Shutdown]]:
    """The Celery app of a worker that is ready for work, and its way out; leaving the block cleans up.

    `gpu` is the UUID of the device whose slot this process claimed.
    Raises UnreachableError, ModelError or UsageError with the reason when it cannot get ready.
    """
    with ExitStack() as stack:
        spans = stack.enter_context(closing(tracing.start("camq-worker")))
        ledger = stack.enter_context(closing(RedisLedger(settings)))
        ledger.check()
        with closing(S3Store.from_settings(settings)) as store:
            store.ensure_bucket()

        telemetry = Telemetry(settings)
        stack.enter_context(telemetry.told())
        webhooks = WebhookSender(ledger, settings, telemetry.metrics)
        flow = ObservedFlow(ledger, telemetry.metrics)
        keeper, meter, clock = LeaseKeeper(flow), Meter(), StageClock()
        heart = Heart(ledger, settings.chunks_in_flight, meter, keeper, clock)
        shutdown = Shutdown(keeper, settings.drain_s, tell=_unless_unreachable(heart.beat))
        logs.always(worker=heart.worker)
        traces = ChunkTraces(spans, heart.worker)
        stage = traces.timed(telemetry.metrics.timed(clock))
        heart.beat()
        stack.callback(_unless_unreachable(heart.stop))
        stack.callback(Periodic("heartbeat", settings.heartbeat_s, heart.beat).stop)
        stack.callback(Periodic("leases", settings.lease_s / 4, keeper.renew).stop)

        explainer = stack.enter_context(
            explaining(
                settings,
                stage=stage,
                on_stuck=shutdown.replace,
                observe=partial(ObservedEngine, metrics=telemetry.metrics, meter=meter),
            )
        )
        network = explainer.network
        sender = stack.enter_context(closing(Sender(settings)))
        reaper = Reaper(flow, sender, network.model)
        quarantine = stack.enter_context(closing(Quarantine(settings)))
        pipeline = Pipeline(
            ledger=flow,
            store=explainer.store,
            explainer=explainer,
            quarantine=quarantine,
            keeper=keeper,
            patience=explainer.patience,
            meter=meter,
            stage=stage,
            traces=traces,
            refill=reaper.refill,
            worker=heart.worker,
            model=network.model,
            images=images_on_their_way(settings),
        )
        stack.callback(pipeline.close)

        app = make_app(settings)
        app.conf.task_queues = worker_queues(network.model)
        app.conf.worker_consumer = "worker.chunk.consumer:Consumer"
        card = card_of(network)
        calls = Calls(
            ledger=ledger,
            store=explainer.store,
            pipeline=pipeline,
            patience=explainer.patience,
            check_taking=keeper.check_taking,
            card=card,
            in_place=explainer.in_place,
        )
        tasks.register(app, pipeline, calls)
        signals.worker_shutting_down.connect(shutdown.begin)
        stack.callback(signals.worker_shutting_down.disconnect, shutdown.begin)

        stack.callback(
            telemetry.watch(app=app, heart=heart, keeper=keeper, explainer=explainer, ledger=ledger, gpu=gpu)
        )
        ledger.publish(card)
        # A Redis that lost its data, or a year of uptime, must not leave producers without it.
        stack.callback(Periodic("card", CARD_S, partial(ledger.publish, card)).stop)
        heart.network = network
        heart.beat()
        stack.callback(Periodic("reaper", settings.reap_s, reaper.reap).stop)
        # A receiver may be silent: neither the reaper nor the worker's end waits for it.
        stack.callback(Periodic("webhooks", settings.reap_s, webhooks.send_due).abandon)
        log.info("ready", model=network.model, device=devices.describe(network.device, network.dtype))
        yield app, shutdown


def images_on_their_way(settings: Settings) -> int:
    """Images of bulk jobs that are in memory at once."""
    return IMAGES_PER_BATCH_PLACE * settings.max_batch_size


def card_of(network: Network) -> ModelCard:
    """What this worker tells producers of its model."""
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
    )


def serve(settings: Settings, gpu: str | None = None) -> int:
    """Runs the worker until it is stopped; the exit status of the process."""
    listen_until_celery_does()
    # Celery warns who runs as root, as containers do, that a pickle could do harm; we accept none.
    warnings.simplefilter("ignore", SecurityWarning)
    signals.setup_logging.connect(_logging_is_set_up)
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
    return int(worker.exitcode or 0) or shutdown.leave()


def _logging_is_set_up(**_: object) -> None:
    """Celery asks; without an answer it would set the root logger's level, and our lines would be lost."""


def _unless_unreachable(call: Callable[[], None]) -> Callable[[], None]:
    def quietly() -> None:
        try:
            call()
        except UnreachableError as error:
            log.warning("Redis was not told that this worker stops", reason=str(error))

    return quietly


def _die(error: BaseException) -> None:
    log.critical("the device failed; this process ends", reason=str(error), exc_info=error)
    os._exit(EXIT_FATAL)
