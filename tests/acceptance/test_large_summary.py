"""The summary of a hundred thousand results, made up and not computed, as the command reads them from real servers."""

import json
import os
import subprocess
import sys
import time

import pytest
import redis

from producer.services import Services
from shared.config import Settings
from tests.acceptance.command import CAMQ
from tests.support.jobs import made_job

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]

#: Runs a command; then its processor time and the most memory that it had, in MiB. A process of its own: a child begins
#: with what its parent had, and the tests' has more.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=sys.stderr)
sys.exit(code)
"""


def test_a_hundred_thousand_results_fit_into_little_memory(settings: Settings, empty_redis: redis.Redis) -> None:
    """In 500 MB, with the maps of three classes of each image. The planted class and its cluster come first.

    It prints the time, for which there is no limit here: a busy machine would miss any.
    """
    with Services(settings) as services:
        job = made_job.make(services, 100_000)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, CAMQ, "summary", job, "--json"],
        env=os.environ | settings.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    core_s, memory = map(float, done.stderr.splitlines()[-1].split())
    print(f"{time.monotonic() - began:.1f} s, {core_s:.1f} s of a core, {memory:.0f} MiB")  # noqa: T201

    found = json.loads(done.stdout)
    assert (found["with_truth"], found["maps"], len(found["classes"])) == (100_000, 100_000, 1000)
    assert memory < 500e6 / 2**20
    marked = made_job.LABELS[made_job.MARKED]
    assert found["suspects"][0]["label"] == found["clusters"][0]["label"] == marked
    assert [one["label"] for one in found["clusters"] if one["reason"]] == [marked]
