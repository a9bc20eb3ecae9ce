"""Pictures that crash or hang what decodes them, from end to end: they cost their picture process and nothing else."""

from pathlib import Path

import msgspec
import pytest

from producer import Client
from shared.config import Settings
from tests.chaos.fleet import picture
from tests.faults.conftest import READY_S, Start
from tests.faults.poisoned.sitecustomize import HANG, MARK

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(240)]

SITE = str(Path(__file__).with_name("poisoned"))


def test_pictures_that_crash_or_hang_their_process_fail_alone_and_the_worker_stays(
    fast: Settings, client: Client, start: Start
) -> None:
    """The worker lives, and needs no quarantine."""
    worker = start(msgspec.structs.replace(fast, decode_s=3.0, picture_processes=2), env={"PYTHONPATH": SITE})
    pictures = [picture(n) for n in range(8)]
    pictures[2] += HANG
    pictures[5] += MARK
    job = client.submit(pictures, top_k=1, priority="bulk")
    job.wait(timeout=READY_S)

    results = list(job.results())
    states = [found.state for found in results]
    assert states == [*["succeeded"] * 2, "failed", *["succeeded"] * 2, "failed", *["succeeded"] * 2]
    assert [error.code for found in results if (error := found.error)] == ["timeout", "poison"]
    assert worker.process.poll() is None
    assert "quarantine process" not in worker.text()
