"""What can be said of this machine's device, libraries and weights before a worker starts."""

import msgspec
import torch
import torchvision

from shared.config import Settings
from shared.errors import CamqError
from worker.core.engine.choice import engine_for
from worker.devices import device as devices
from worker.image.build import load
from worker.image.calibration import calibration_inputs
from worker.models.asked import DEFAULT_MODEL


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One look. `error` says what is wrong and what to do, or is None; `engine` how micro-batches run here."""

    ok: bool
    torch: str
    torchvision: str
    device: str | None
    name: str
    model: str | None
    engine: str | None = None
    error: str | None

    def json(self) -> str:
        """The report as one JSON object."""
        return msgspec.json.encode(self).decode()


def check(settings: Settings) -> Report:
    """Loads the model as a worker would, and runs it once, without touching Redis or storage."""
    model = device = mode = error = None
    try:
        device = devices.describe(devices.choose(settings.device), settings.precision)
        network = load(settings)
        examples = calibration_inputs(settings, network.spec)
        # What it would warn of is in its mode.
        engine = engine_for(network, settings.max_batch_size, lambda _: None, settings.engine, examples)
        engine.warm_up()
        model, mode = network.model, engine.mode
    except CamqError as problem:
        error = str(problem)
    return Report(
        ok=error is None,
        torch=str(torch.__version__),
        torchvision=torchvision.__version__,
        device=device,
        name=settings.model or DEFAULT_MODEL,
        model=model,
        engine=mode,
        error=error,
    )
