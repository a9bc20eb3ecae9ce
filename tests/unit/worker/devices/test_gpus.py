"""GPUs as NVML lists them. No driver was at hand: NVML is a stand-in with its documented answers."""

from threading import Event

import pytest
from structlog.testing import capture_logs

from tests.fake_nvml.pynvml import Card, Nvml
from worker.devices.gpus import Gpu, Utilisation, allowed, driver_gpus

GPUS = [Gpu("GPU-aaaa", "A", 0), Gpu("GPU-bbbb", "B", 1)]


def test_gpus_are_listed_as_the_driver_has_them() -> None:
    """Whole GPUs with their names; one that is split stands for its MIG instances alone, gaps between them or not."""
    cards = [Card("GPU-a"), Card("GPU-b", {0: "MIG-c", 3: "MIG-d"}), Card("GPU-e", name="NVIDIA GeForce RTX 4090")]

    assert driver_gpus(Nvml(cards)) == [
        Gpu("GPU-a", "NVIDIA A100-SXM4-40GB", 0),
        Gpu("MIG-c", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 1),
        Gpu("MIG-d", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 1),
        Gpu("GPU-e", "NVIDIA GeForce RTX 4090", 2),
    ]


def test_a_gpu_that_is_lost_takes_no_other_with_it() -> None:
    """It fell off the bus, say; the others keep their numbers."""
    with capture_logs() as logs:
        assert [gpu.index for gpu in driver_gpus(Nvml([Card("GPU-a", lost=True), Card("GPU-b")]))] == [1]
    assert [(entry["event"], entry["index"]) for entry in logs] == [("a GPU does not answer and is left out", 0)]


@pytest.mark.parametrize("cards", [None, []])
def test_without_a_driver_there_is_no_gpu(cards: list[Card] | None) -> None:
    """Neither a library nor a device is an everyday machine, and no warning."""
    with capture_logs() as logs:
        assert driver_gpus(Nvml(cards)) == []
    assert logs == []


def test_this_machine_s_own_driver_is_asked() -> None:
    """The real library, if there is one: what it lists can be claimed."""
    assert all(gpu.uuid.startswith(("GPU-", "MIG-")) for gpu in driver_gpus())


def test_a_driver_that_hangs_keeps_no_worker_from_starting() -> None:
    """It is reported, and torch says more."""
    hangs = Event()
    with capture_logs() as logs:
        assert driver_gpus(Nvml([Card("GPU-a")], before=lambda: hangs.wait() and None), timeout_s=0.05) == []
    hangs.set()
    assert [entry["event"] for entry in logs] == ["the NVIDIA driver does not answer"]


@pytest.mark.parametrize(
    ("nvml", "expected"),
    [
        (Nvml([Card("GPU-a", busy=37)]), 0.37),
        (Nvml([Card("GPU-b", {0: "GPU-a"})]), None),
        (Nvml([]), None),
        (Nvml(None), None),
    ],
    ids=["busy", "MIG does not say", "gone", "no driver"],
)
def test_how_busy_a_gpu_is(nvml: Nvml, expected: float | None) -> None:
    """A share; nothing where the driver does not say."""
    assert Utilisation("GPU-a", nvml)() == expected


def test_scrapes_do_not_pile_up_behind_a_driver_that_hangs() -> None:
    """One waits; the others go without this number."""
    hangs, asked = Event(), []

    def before() -> None:
        asked.append(None)
        if len(asked) == 1:
            assert [busy(), busy()] == [None, None]
            hangs.set()

    busy = Utilisation("GPU-a", Nvml([Card("GPU-a", busy=50)], before))

    assert busy() == 0.5
    assert hangs.is_set()
    assert len(asked) == 1
    assert busy() == 0.5


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, ["GPU-aaaa", "GPU-bbbb"]),
        ("1", ["GPU-bbbb"]),
        ("1,0", ["GPU-bbbb", "GPU-aaaa"]),
        ("GPU-a", ["GPU-aaaa"]),
        ("", []),
        ("0,7,1", ["GPU-aaaa"]),
    ],
)
def test_the_operator_s_own_choice_of_gpus_holds(variable: str | None, expected: list[str]) -> None:
    """CUDA_VISIBLE_DEVICES by number or UUID, as CUDA reads it."""
    environ = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}

    assert [gpu.uuid for gpu in allowed(GPUS, environ)] == expected
