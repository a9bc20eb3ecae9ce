"""Builds what explains one picture: device, network, engine, batcher and picture processes, from the settings.

A worker, its quarantine process and `camq worker --check` build it alike.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import structlog
import torch

from shared.checks.destinations import check_output
from shared.config import Settings
from shared.errors import DeniedError, UnreachableError
from shared.outage import Outage, Patience
from shared.storage import S3Store
from worker.core.engine.choice import engine_for
from worker.core.model.network import Network, load_network
from worker.core.types import Limits
from worker.devices import container
from worker.devices import device as devices
from worker.image.batcher import Batcher
from worker.image.calibration import calibration_inputs
from worker.image.evaluation import Evaluator
from worker.image.explainer import Explainer
from worker.models.asked import asked
from worker.models.reading import read_bounded
from worker.pictures import wire
from worker.pictures.budget import Budget
from worker.pictures.pool import Pictures, Spent
from worker.timing.measurements import Stage

log = structlog.get_logger()

#: Images on their way per image of a micro-batch: while one batch runs, one is being prepared and one drawn.
IMAGES_PER_BATCH_PLACE = 3
#: Images of `high` jobs that may be on their way beside the others.
URGENT_IMAGES = 16
#: Files of the largest size allowed that are in memory at once.
LARGE_FILES = 2
#: Exit code of a process whose device failed; its chunks run on other workers.
EXIT_FATAL = 70


def images_on_their_way(settings: Settings) -> int:
    """Images of bulk jobs that are in memory at once."""
    return IMAGES_PER_BATCH_PLACE * settings.max_batch_size


def load(settings: Settings) -> Network:
    """The network that the settings name, on the device they name. Raises ModelError or UsageError."""
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    # TF32 keeps ten bits of a float32's mantissa, and answers would then depend on the batch by more than 1e-5.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    wanted = asked(settings)
    network = load_network(
        wanted.architecture,
        weights=wanted.weights,
        labels=wanted.labels,
        device=devices.limit(devices.choose(settings.device), settings.device_memory),
        dtype=devices.PRECISIONS[settings.precision],
        read=read_bounded,
        given=wanted.given,
    )
    for note in network.notes:
        log.info("of the weights", note=note)
    if network.ignored:
        log.info("tensors that the network does not need", ignored=", ".join(network.ignored))
    return network


@contextmanager
def explaining(
    settings: Settings,
    *,
    stage: Stage,
    spent: Spent = lambda *_: None,
    processes: int | None = None,
    on_batch: Callable[[int], None] = lambda _: None,
    outage: Outage | None = None,
) -> Iterator[Explainer]:
    """What one picture needs, from its bytes in storage to its overlays there: the model is loaded and warm."""
    with ExitStack() as stack:
        connections = images_on_their_way(settings) + URGENT_IMAGES + settings.chunks_in_flight
        store = stack.enter_context(closing(S3Store.from_settings(settings, pool_size=connections)))
        network = load(settings)
        limits = Limits(settings.max_image_bytes, settings.max_image_pixels)
        count = processes or settings.picture_processes or container.cores()
        setup = wire.Setup(network.spec, limits, settings.decode_s, container.room(count))
        pictures = Pictures(setup, count, spent)
        stack.callback(pictures.close)
        examples = calibration_inputs(settings, network.spec)
        engine = engine_for(network, settings.max_batch_size, log.warning, settings.engine, examples)
        engine.warm_up()
        log.info("micro-batches", engine=engine.mode)
        batcher = Batcher(engine, settings.max_batch_delay_ms / 1000, stage, exit_fatal, on_batch)
        engine.on_step = batcher.beat
        stack.callback(batcher.close)
        yield Explainer(
            network=network,
            batcher=batcher,
            evaluator=Evaluator(network, batcher),
            store=store,
            patience=Patience(
                settings.outage_limit, outage=outage or logged_outage(), waits_for=(UnreachableError, DeniedError)
            ),
            limits=limits,
            in_place=settings.readable_in_place(),
            checked_output=partial(check_output, settings=settings),
            pictures=pictures,
            large_files=Budget(LARGE_FILES * settings.max_image_bytes),
            stage=stage,
        )


def logged_outage() -> Outage:
    """One whose beginning and end are in the log."""
    return Outage(
        lost=lambda error: log.warning("waiting for a service", reason=str(error)),
        back=lambda: log.info("the service answers again"),
    )


def exit_fatal(error: BaseException) -> None:
    """Ends the process at once: with its device gone, every micro-batch would fail."""
    log.critical("the device failed; this process ends", reason=str(error), exc_info=error)
    os._exit(EXIT_FATAL)
