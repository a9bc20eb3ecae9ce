"""`CAMQ_PRECISION=int8` with the operator's own pictures, read by a picture process, as a worker starts with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shared.config import Settings
from tests.numeric.networks import random_module
from worker.check import Report, check
from worker.image.calibration import LEAST


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """As many pictures as int8 needs, and what else lies in a folder."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    for number in range(LEAST):
        noise = np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "deeper" / f"{number}.png")
    return tmp_path


def checked(folder: Path, **settings: str) -> Report:
    """What a worker with these settings would say of itself."""
    weights = folder / "weights.pth"
    torch.save(random_module("squeezenet1_1", 5).state_dict(), weights)
    return check(Settings(model="squeezenet1_1", weights=str(weights), device="cpu", max_batch_size=1, **settings))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_worker_calibrates_its_network_and_says_so(examples: Path, tmp_path: Path) -> None:
    """In the device, as other precisions do, and in the engine that results are signed with."""
    report = checked(tmp_path, precision="int8", calibration=str(examples))
    assert (report.ok, report.device) == (True, "cpu, int8"), report.error
    assert (report.engine or "").endswith(" int8")


@pytest.mark.slow
def test_int8_without_pictures_to_calibrate_it_is_refused(examples: Path, tmp_path: Path) -> None:
    """And pictures without int8, which would be ignored; as every worker starts, and as `camq doctor` looks."""

    def error(**settings: str) -> str:
        return checked(tmp_path, **settings).error or ""

    assert "CAMQ_PRECISION=int8 needs CAMQ_CALIBRATION" in error(precision="int8")
    assert "only for CAMQ_PRECISION=int8" in error(calibration=str(examples))
    assert "leave CAMQ_ENGINE unset" in error(precision="int8", calibration=str(examples), engine="torch")
    (examples / "deeper" / "0.png").unlink()
    assert f"{LEAST - 1} pictures there can be read" in error(precision="int8", calibration=str(examples))
    (examples / "deeper" / "0.png").symlink_to(examples / "nothing" / "there")
    assert f"{LEAST - 1} pictures" in error(precision="int8", calibration=str(examples))
    assert "0 pictures" in error(precision="int8", calibration=str(examples / "nothing"))
