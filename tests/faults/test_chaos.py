"""A short run of the program that proves it all."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import main
from tests.chaos.plan import Wishes, draw

pytestmark = pytest.mark.servers


@pytest.mark.timeout(400)
def test_a_short_run_loses_and_repeats_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every image ends once, with the answer and the very overlay of a run without faults."""
    faults = ["--worker-kills=2", "--worker-stops=0", "--redis-kills=1", "--storage-outages=0", "--cuts=2"]
    status = main(["--images=400", "--jobs=2", "--workers=2", "--seed=3", *faults, f"--json={tmp_path / 'table.json'}"])

    assert status == 0, capfd.readouterr().out


def test_the_same_seed_draws_the_same_faults() -> None:
    """A run that failed can be played again."""
    assert draw(Wishes(), 7) == draw(Wishes(), 7) != draw(Wishes(), 8)
    assert len([fault for fault in draw(Wishes(), 7) if fault.kind == "kill worker"]) == 20
