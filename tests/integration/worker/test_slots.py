"""Device slots: one process each, freed by the kernel."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.config import Settings
from shared.errors import UsageError
from worker.devices.gpus import Gpu
from worker.devices.slots import NoSlotError, claimed

ROOT = Path(__file__).parents[3]
GPUS = [Gpu("GPU-aaaa", "A", 0), Gpu("GPU-bbbb", "B", 1)]
#: A process that claims a slot of the two GPUs, says which, and keeps it until it is killed.
HOLDER = """
import os, sys
from shared.config import Settings
from worker.devices.gpus import Gpu
from worker.devices.slots import claimed

with claimed(Settings.load(), lambda: [Gpu("GPU-aaaa", "A", 0), Gpu("GPU-bbbb", "B", 1)]) as slot:
    print("holds", os.environ["CUDA_VISIBLE_DEVICES"], slot.number, "torch" in sys.modules, flush=True)
    sys.stdin.read()
"""

Hold = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Starts a process that holds a slot of `tmp_path`; what it says is its first line."""
    running = []

    def start(per_gpu: int = 1) -> subprocess.Popen[str]:
        env = {"PYTHONPATH": str(ROOT), "CAMQ_SLOTS_DIR": str(tmp_path), "CAMQ_SLOTS_PER_GPU": str(per_gpu)}
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], word: str = "holds") -> list[str]:
    """The first line with this word in it, and what follows the word."""
    assert process.stdout is not None
    line = next(line for line in process.stdout if word in line)
    return line.partition(word)[2].split()


def test_two_processes_never_hold_one_slot(hold: Hold, tmp_path: Path) -> None:
    """Each sees its own GPU, before torch is imported; a third process finds none."""
    first, second = said(hold()), said(hold())

    assert {first[0], second[0]} == {"GPU-aaaa", "GPU-bbbb"}
    assert [first[2], second[2]] == ["False", "False"]
    with pytest.raises(NoSlotError, match="2 device slots are taken"), claimed(settings(tmp_path), lambda: GPUS, {}):
        pass


def test_the_slot_of_a_killed_process_is_free_at_once(hold: Hold, tmp_path: Path) -> None:
    """The kernel frees it with the process; nothing has to time out."""
    first, _ = hold(), said(hold())
    uuid = said(first)[0]
    first.kill()
    first.wait()
    environ: dict[str, str] = {}

    with claimed(settings(tmp_path), lambda: GPUS, environ) as slot:
        assert slot is not None
        assert slot.gpu.uuid == environ["CUDA_VISIBLE_DEVICES"] == uuid


def test_a_waiting_process_gets_the_first_slot_that_becomes_free(hold: Hold, tmp_path: Path) -> None:
    """It waits for as long as it was told to, and no longer than it must."""
    first, second = hold(), hold()
    taken = {said(first)[0]: first, said(second)[0]: second}
    third = hold()
    said(third, "waiting for a free device slot")
    taken["GPU-bbbb"].kill()

    assert said(third)[0] == "GPU-bbbb"


def test_a_gpu_with_two_slots_gets_its_second_process_last(tmp_path: Path) -> None:
    """Every GPU has one process before any has two."""
    found = []
    wanted = settings(tmp_path, slots_per_gpu=2)
    with (
        claimed(wanted, lambda: GPUS, {}) as one,
        claimed(wanted, lambda: GPUS, {}) as two,
        claimed(wanted, lambda: GPUS, {}) as three,
    ):
        found = [(slot.gpu.uuid, slot.number) for slot in (one, two, three) if slot]

    assert found == [("GPU-aaaa", 0), ("GPU-bbbb", 0), ("GPU-aaaa", 1)]


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_without_a_gpu_nothing_is_claimed(tmp_path: Path, device: str) -> None:
    """A worker on a CPU needs no slot, and the environment stays as it was."""
    environ: dict[str, str] = {}
    gpus = GPUS if device == "cpu" else []

    with claimed(settings(tmp_path, device=device), lambda: gpus, environ) as slot:
        assert slot is None
    assert environ == {}
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_used_is_named() -> None:
    """The operator learns which variable to change."""
    with pytest.raises(UsageError, match="CAMQ_SLOTS_DIR"), claimed(settings(Path("/dev/null/x")), lambda: GPUS, {}):
        pass


@pytest.mark.parametrize(("kind", "share", "calls"), [("cuda", 0.25, [0.25]), ("cuda", 1.0, []), ("cpu", 0.25, [])])
def test_processes_that_share_a_gpu_keep_to_their_share(
    kind: str, share: float, calls: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch is told before anything is loaded; a whole GPU and a CPU have no limit."""
    torch = pytest.importorskip("torch")
    from worker.devices import device

    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part, _: told.append(part))
    assert device.limit(torch.device(kind), share) == torch.device(kind)
    assert told == calls


def settings(folder: Path, **values: object) -> Settings:
    return Settings.load({}, slots_dir=str(folder), slot_wait_s=0, **values)
