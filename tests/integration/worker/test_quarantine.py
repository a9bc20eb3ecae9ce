"""The quarantine's judgement: which deaths condemn a picture, and which do not."""

import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import psutil
import pytest

from shared.config import Settings
from shared.contract import ChunkMessage, ImageRecord, ImageRef, ImageState, Options
from shared.errors import LostLeaseError, UnreachableError
from shared.ledger import Claim, RedisLedger
from worker.chunk.leases import Lease, LeaseKeeper
from worker.chunk.quarantine import Quarantine, QuarantineError

MESSAGE = ChunkMessage(job="job", chunk="000000q1", attempt=1)
CLAIM = Claim(MESSAGE, Options(), "net@0123456789ab", "bulk", "000000", (0,), quarantine=True)


@pytest.fixture
def quarantine() -> Iterator[Quarantine]:
    with closing(Quarantine(Settings(), lambda: [sys.executable, "-m", "tests.faults.suspect"])) as made:
        yield made


@pytest.fixture
def lease() -> Lease:
    return Lease(CLAIM, LeaseKeeper(cast(RedisLedger, None)))


def judge(quarantine: Quarantine, lease: Lease, behaviour: str, key: str = "") -> ImageRecord:
    return quarantine.record(ImageRef(index=0, key=key, source=behaviour), CLAIM, lease)


def suspects() -> list[psutil.Process]:
    """The quarantine's processes."""
    return [child for child in psutil.Process().children() if "tests.faults.suspect" in child.cmdline()]


def code(record: ImageRecord) -> str | None:
    return record.error.code if record.error else None


@pytest.mark.parametrize("stage", ["wait", "forward"])
def test_a_picture_whose_process_dies_twice_in_its_own_work_is_poison(
    stage: str, quarantine: Quarantine, lease: Lease
) -> None:
    """And the next picture gets a new process."""
    condemned = judge(quarantine, lease, f"dies in {stage}")

    assert (condemned.state, code(condemned)) == (ImageState.FAILED, "poison")
    assert stage in (condemned.error.message if condemned.error else "")
    assert judge(quarantine, lease, "lives").state is ImageState.SUCCEEDED


def test_one_death_may_be_chance(quarantine: Quarantine, lease: Lease, tmp_path: Path) -> None:
    """The picture gets its second try, and its answer."""
    assert judge(quarantine, lease, "dies once in forward", str(tmp_path / "died")).state is ImageState.SUCCEEDED


@pytest.mark.parametrize(
    "place", ["", *(pytest.param(f" in {stage}", marks=pytest.mark.slow) for stage in ("download", "decode", "upload"))]
)
def test_deaths_elsewhere_never_condemn(place: str, quarantine: Quarantine, lease: Lease) -> None:
    """A process that cannot load its model says nothing about a picture; the chunk goes back."""
    with pytest.raises(QuarantineError, match="does not start"):
        judge(quarantine, lease, f"dies{place}")


def test_an_outage_in_the_process_is_an_outage_here(quarantine: Quarantine, lease: Lease) -> None:
    """Nobody's image is failed for it."""
    with pytest.raises(UnreachableError, match="storage is away"):
        judge(quarantine, lease, "storage away")


def test_a_lost_lease_ends_the_process_at_once(quarantine: Quarantine, lease: Lease) -> None:
    """Also while the picture hangs."""
    threading.Timer(0.3, setattr, (lease, "lost", True)).start()
    with pytest.raises(LostLeaseError):
        judge(quarantine, lease, "hangs in forward")

    assert suspects() == []


def test_a_cancelled_job_ends_its_suspect(quarantine: Quarantine, lease: Lease) -> None:
    """As cancelled, not as failed."""
    threading.Timer(0.3, setattr, (lease, "cancelled", True)).start()

    assert judge(quarantine, lease, "hangs in forward").state is ImageState.CANCELLED


def test_nobody_is_left_when_the_quarantine_closes(lease: Lease) -> None:
    """The process goes with its worker."""
    with closing(Quarantine(Settings(), lambda: [sys.executable, "-m", "tests.faults.suspect"])) as quarantine:
        judge(quarantine, lease, "lives")
        assert len(suspects()) == 1

    assert suspects() == []
