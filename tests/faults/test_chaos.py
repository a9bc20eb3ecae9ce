"""A short run of the chaos program."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import main
from tests.chaos.plan import FaultCounts, schedule

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.mark.timeout(400)
def test_a_short_run_loses_and_repeats_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every image ends once, with the answer and the same overlay bytes as a run without faults; what users cancel,
    retry, remove and collect meanwhile takes nothing from a kept job."""
    faults = ["--worker-kills=2", "--worker-stops=0", "--redis-kills=1", "--storage-outages=0", "--cuts=2"]
    faults += ["--picture-kills=6"]
    faults += ["--storage-refusals=1", "--cancels=1", "--retries=1", "--removals=1", "--collections=1"]
    status = main(["--images=400", "--jobs=2", "--workers=2", "--seed=3", *faults, f"--json={tmp_path / 'table.json'}"])

    assert status == 0, capfd.readouterr().out


def test_the_same_seed_schedules_the_same_faults() -> None:
    """So a run that failed can be repeated."""
    assert schedule(FaultCounts(), 7) == schedule(FaultCounts(), 7) != schedule(FaultCounts(), 8)
    assert len([fault for fault in schedule(FaultCounts(), 7) if fault.kind == "kill worker"]) == 20
