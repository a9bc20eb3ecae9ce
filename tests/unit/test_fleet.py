"""`camq worker --all-devices`: what it starts."""

import os
from pathlib import Path

import pytest

from shared.config import Settings
from worker import fleet
from worker.inventory import Gpu

GPUS = [Gpu("GPU-aaaa", "A", 0), Gpu("GPU-bbbb", "B", 1)]


def test_each_worker_has_a_name_and_a_port_of_its_own() -> None:
    """Two processes cannot listen on one port; without a port none listens."""
    specs = fleet.specs(Settings(http_port=9100, drain_s=3), 2)

    assert [(spec.name, spec.env["CAMQ_HTTP_PORT"]) for spec in specs] == [("worker-1", "9100"), ("worker-2", "9101")]
    assert all(spec.stop_s > 3 for spec in specs)
    assert "CAMQ_HTTP_PORT" not in fleet.specs(Settings(), 1)[0].env


def test_a_wrong_setting_ends_the_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is told something impossible would be started again for ever."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-aaaa)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    assert fleet.serve(Settings(slots_dir="/dev/null/nowhere"), lambda: GPUS) == 2
