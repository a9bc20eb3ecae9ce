"""`camq worker --all-devices`: what it starts."""

from pathlib import Path

import pytest

from shared.config import Settings
from shared.errors import UsageError
from worker.devices import launcher as fleet
from worker.devices.gpus import Gpu
from worker.devices.slots import Slot

#: Where a child process finds a stand-in for NVML.
FAKE_NVML = Path(__file__).parents[3] / "fake_nvml"
GPUS = [Gpu("GPU-aaaa", "A", 0), Gpu("GPU-bbbb", "B", 1)]


def test_each_worker_has_a_name_and_a_port_of_its_own() -> None:
    """Two processes cannot listen on one port; without a port none listens."""
    specs = fleet.specs(Settings(http_port=9100, drain_s=3), [{}, {}])

    assert [(spec.name, spec.env["CAMQ_HTTP_PORT"]) for spec in specs] == [("worker-1", "9100"), ("worker-2", "9101")]
    assert all(spec.stop_s > 3 for spec in specs)
    assert "CAMQ_HTTP_PORT" not in fleet.specs(Settings(), [{}])[0].env


@pytest.mark.parametrize(("workers", "asked", "each"), [(2, 0, 4), (3, 0, 2), (16, 0, 1), (2, 5, 5)])
def test_the_workers_share_the_cores(workers: int, asked: int, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eight; what an operator asks for, each of them has."""
    monkeypatch.setattr(fleet, "cores", lambda: 8)
    specs = fleet.specs(Settings(picture_processes=asked), [{}] * workers)

    assert {spec.env["CAMQ_PICTURE_PROCESSES"] for spec in specs} == {str(each)}


def test_several_models_run_side_by_side_on_every_gpu_and_share_its_memory() -> None:
    """Two models on two GPUs are four processes; none may take more than half of what the operator granted."""
    settings = Settings(models="resnet50 densenet121", device_memory=0.8)
    slots = [Slot(gpu, 0) for gpu in GPUS]

    workers = fleet.members(settings, slots)
    environments = [spec.env for spec in fleet.specs(settings, workers)]

    assert [(e["CAMQ_MODEL"], e["CUDA_VISIBLE_DEVICES"]) for e in environments] == [
        ("resnet50", "GPU-aaaa"),
        ("densenet121", "GPU-aaaa"),
        ("resnet50", "GPU-bbbb"),
        ("densenet121", "GPU-bbbb"),
    ]
    children = [Settings.load(environment) for environment in environments]
    assert {(c.device_memory, c.slots_per_gpu, c.models) for c in children} == {(0.4, 2, "")}
    assert [spec.name for spec in fleet.specs(settings, workers)][:2] == ["worker-1-resnet50", "worker-2-densenet121"]


def test_several_models_without_a_gpu_run_once_each() -> None:
    """On a CPU there is one place."""
    first, second = fleet.members(Settings(models="a b=s3://models/b.pth"), [])
    assert (first["CAMQ_MODEL"], "CAMQ_WEIGHTS" in first) == ("a", False)
    assert (second["CAMQ_MODEL"], second["CAMQ_WEIGHTS"]) == ("b", "s3://models/b.pth")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(models="a b", weights="mine.pth"), "write each as NAME=WEIGHTS"),
        (Settings(models="a b a"), "names a more than once"),
    ],
)
def test_several_models_that_cannot_be_meant_are_refused(settings: Settings, reason: str) -> None:
    """Whose weights would they be?"""
    with pytest.raises(UsageError, match=reason):
        fleet.members(settings, [])


def test_a_wrong_setting_ends_the_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is told something impossible would be started again for ever."""
    monkeypatch.setenv("PYTHONPATH", str(FAKE_NVML))
    monkeypatch.setenv("TEST_GPUS", "GPU-aaaa")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    assert fleet.serve(Settings(slots_dir="/dev/null/nowhere"), lambda: GPUS) == 2
