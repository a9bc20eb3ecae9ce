"""A worker that is refused at its start leaves nothing behind: another may take its place at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from shared.config import Settings

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("wrong", "status", "says"),
    [
        ({"CAMQ_WEIGHTS": "none.pth"}, 5, "none.pth"),
        pytest.param({"CAMQ_MODEL": "resnt18"}, 2, "did you mean resnet18", marks=pytest.mark.slow),
        pytest.param({"CAMQ_WEBHOOK_SECRET": "short"}, 2, "CAMQ_WEBHOOK_SECRET", marks=pytest.mark.slow),
    ],
    ids=["weights", "model", "secret"],
)
def test_a_refused_worker_leaves_no_key_and_no_file(
    wrong: dict[str, str], status: int, says: str, settings: Settings, empty_redis: redis.Redis, tmp_path: Path
) -> None:
    """Not its line in `camq workers`, not its slot, and no half of a download."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    own = settings.environment() | {"CAMQ_SLOTS_DIR": str(scratch), "XDG_CACHE_HOME": str(scratch)}

    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker"],
        env=os.environ | own | wrong,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == status, done.stderr
    assert says in done.stderr.splitlines()[-1]
    assert empty_redis.keys("*") == []
    assert [path for path in scratch.rglob("*") if path.is_file()] == []
