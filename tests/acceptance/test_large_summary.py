"""The summary of a hundred thousand results, made up and not computed, as the command reads them from real servers."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import redis

from producer.services import Services
from shared.config import Settings
from tests import made_job
from tests.acceptance.command import CAMQ

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_hundred_thousand_results_fit_into_little_memory(
    settings: Settings, empty_redis: redis.Redis, tmp_path: Path
) -> None:
    """In 500 MB, with the maps of three classes of each image. The planted class and its cluster come first.

    It prints the time, for which there is no limit here: a busy machine would miss any.
    """
    with Services(settings) as services:
        job = made_job.make(services, 100_000)
    began = time.monotonic()
    with (tmp_path / "summary").open("w") as out:
        process = subprocess.Popen(
            [CAMQ, "summary", job, "--json"], env=os.environ | settings.environment(), stdout=out
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took, memory = time.monotonic() - began, usage.ru_maxrss / 1024
    print(f"{took:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of a core, {memory:.0f} MiB")  # noqa: T201

    assert process.returncode == 0
    found = json.loads((tmp_path / "summary").read_text())
    assert (found["with_truth"], found["maps"], len(found["classes"])) == (100_000, 100_000, 1000)
    assert memory < 500e6 / 2**20
    marked = made_job.LABELS[made_job.MARKED]
    assert found["suspects"][0]["label"] == found["clusters"][0]["label"] == marked
    assert [one["label"] for one in found["clusters"] if one["reason"]] == [marked]
