"""`camq worker --all-devices`: one process per GPU of a machine; here two GPUs that only a stand-in for
NVML knows of."""

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from producer import Client
from producer.local.embedded.stack import free_ports
from shared.config import Settings
from shared.contract import WorkerInfo
from shared.ledger import RedisLedger
from tests.acceptance.command import CAMQ
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(240)]

#: Where the processes find it.
FAKE_NVML = Path(__file__).parents[2] / "fake_nvml"
#: Loading torch twice at once takes a while where others work too.
START_S = 150


@pytest.fixture
def slots(tmp_path: Path) -> Path:
    return tmp_path / "slots"


@pytest.fixture
def port() -> int:
    """Two ports in a row that nobody listens on."""
    ports = set(free_ports())
    return next(port for port in ports if port + 1 in ports)


@pytest.fixture
def fleet(environment: dict[str, str], tmp_path: Path, slots: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The real command, on a machine whose driver lists two GPUs. torch sees none, and takes the CPU."""
    own = {
        "PYTHONPATH": str(FAKE_NVML),
        "TEST_GPUS": "GPU-aaaaaaaa GPU-bbbbbbbb",
        "CAMQ_MODEL": "efficientnet_lite0",
        "CAMQ_SLOTS_DIR": str(slots),
        "CAMQ_HTTP_PORT": str(port),
        "CAMQ_LEASE_S": "3",
        "CAMQ_TORCH_THREADS": "1",
    }
    inherited = {name: value for name, value in environment.items() if name != "CUDA_VISIBLE_DEVICES"}
    with (tmp_path / "fleet.log").open("wb") as log:
        process = subprocess.Popen([CAMQ, "worker", "--all-devices"], env=inherited | own, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_two_workers_share_a_job_and_a_killed_one_is_replaced(
    fleet: subprocess.Popen[bytes], ledger: RedisLedger, settings: Settings, slots: Path, port: int
) -> None:
    """Each owns one GPU's slot; the successor of one that is killed takes the slot that became free."""
    first, second = wait_until(lambda: both_ready(ledger), "two workers are ready", START_S)
    assert holders(slots) == {first.pid, second.pid}
    assert [ready(port + number) for number in range(2)] == [200, 200]
    with Client(settings.__class__.load(settings.environment(), chunk_size=4)) as client:
        job = client.submit([Image.new("RGB", (96, 64), (n, 90, 30)) for n in range(120)])
        wait_until(lambda: all(w.images_done for w in ledger.workers()), "both have explained images", 60)
        os.kill(first.pid, signal.SIGKILL)
        status = job.wait(timeout=120)
    assert (status.succeeded, status.failed) == (120, 0)
    now = wait_until(lambda: both_ready(ledger, without=first.pid), "a successor is ready", START_S)
    assert second.pid in {worker.pid for worker in now}
    assert holders(slots) == {worker.pid for worker in now}
    children = psutil.Process(fleet.pid).children()
    fleet.terminate()
    assert fleet.wait(30) == 0
    assert not any(child.is_running() for child in children)


def both_ready(ledger: RedisLedger, without: int = 0) -> list[WorkerInfo]:
    found = [worker for worker in ledger.workers() if worker.state in ("ready", "busy") and worker.pid != without]
    return found if len(found) == 2 else []


def holders(slots: Path) -> set[int]:
    """Who holds the slots, by what they wrote into them."""
    assert {path.name for path in slots.iterdir()} == {"GPU-aaaaaaaa.0.lock", "GPU-bbbbbbbb.0.lock"}
    return {int(path.read_text()) for path in slots.iterdir()}


def ready(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
        return int(answer.status)
