"""CAMQ_PRECISION: from the setting to the network and to what people are told."""

from pathlib import Path
from typing import get_args, get_type_hints

import onnxruntime
import pytest
import torch

from shared.config import Settings
from tests.numeric.networks import random_module
from worker.check import check
from worker.core.engine.engine import TORCH
from worker.devices import device as devices
from worker.image.build import load

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(random_module("squeezenet1_1", 5).state_dict(), path)
    return path


def test_every_precision_that_may_be_set_is_known_to_the_worker() -> None:
    """And only those."""
    assert set(get_args(get_type_hints(Settings)["precision"])) == set(devices.PRECISIONS)


def test_a_device_is_told_with_its_precision_unless_that_is_the_usual_one() -> None:
    """`cpu` stays `cpu`, which programs read."""
    assert devices.describe(CPU) == devices.describe(CPU, "fp32") == "cpu"
    assert devices.describe(CPU, "bf16") == "cpu, bf16"
    assert devices.describe(CPU, "int8") == "cpu, int8"


@pytest.mark.parametrize(
    ("precision", "device", "engine"),
    [
        ("fp32", "cpu", f"onnxruntime {onnxruntime.__version__}"),
        ("bf16", "cpu, bf16", TORCH),
        ("fp16", "cpu, fp16", TORCH),
    ],
)
def test_a_worker_loads_and_runs_its_network_in_the_precision_set(
    weights: Path, precision: str, device: str, engine: str
) -> None:
    """Also in half precision on a CPU, which torch can do; the check says how micro-batches run."""
    options = {"model": "squeezenet1_1", "weights": str(weights), "device": "cpu", "max_batch_size": 1}
    settings = Settings(precision=precision, **options)  # type: ignore[arg-type]
    report = check(settings)

    assert (report.ok, report.error, report.device, report.engine) == (True, None, device, engine)
    network = load(settings)
    assert (network.model, network.dtype) == (report.model, devices.PRECISIONS[precision])
