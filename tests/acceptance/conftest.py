"""The `camq` command on the session's servers."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import redis

from shared.config import Settings
from shared.ledger import RedisLedger
from shared.storage import S3Store
from tests.acceptance.command import CAMQ, Command, run_here
from tests.support.jobs.scripted_worker import ScriptedWorker, picture

Camq = Callable[..., Command]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """What a terminal that has loaded `camq.env` has."""
    return os.environ | settings.environment()


@pytest.fixture
def camq(environment: dict[str, str], tmp_path: Path) -> Camq:
    """`camq("status", job)` runs the command in a temporary folder, in this process, and returns its outcome."""

    def run(*arguments: object, **variables: str) -> Command:
        return run_here(*arguments, cwd=tmp_path, env=environment | variables)

    return run


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """`start("watch", job)` runs the command beside the test; what still runs at its end is killed."""
    running: list[subprocess.Popen[str]] = []

    def popen(*arguments: object, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [CAMQ, *map(str, arguments)],
            env=environment | variables,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield popen
    for process in running:
        process.kill()
        with suppress(ValueError):  # its output was read already
            process.communicate()


@pytest.fixture
def ledger(settings: Settings, empty_redis: redis.Redis) -> Iterator[RedisLedger]:
    """The ledger, empty."""
    with closing(RedisLedger(settings)) as found:
        yield found


@pytest.fixture
def worker(ledger: RedisLedger, s3_store: S3Store) -> ScriptedWorker:
    """A worker played by hand, the only one alive."""
    return ScriptedWorker(ledger, s3_store)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures; the worker takes the second for a broken one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b-broken.png", "c 🐈.png")):
        (folder / name).write_bytes(picture(colour=(number, 1, 2)))
    return folder


def lines(done: Command) -> list[dict[str, object]]:
    """The JSON on stdout, which has nothing else."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def submitted(camq: Camq, *arguments: object) -> str:
    done = camq("submit", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = lines(done)
    assert list(line) == ["job"]
    return str(line["job"])


def finished(camq: Camq, worker: ScriptedWorker, *arguments: object) -> str:
    job = submitted(camq, *arguments)
    worker.work_off(job)
    return job
