"""A container's limit on memory, as the system shows it, against what a worker may take."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.config import Settings
from worker.__main__ import warn_of_memory
from worker.devices import container
from worker.devices.container import LEAST_BYTES, NETWORK_BYTES, PROCESS_BYTES, limit, own_files, room, shortage

NEEDED = NETWORK_BYTES + 2 * PROCESS_BYTES + (2 << 30)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"]


@pytest.mark.parametrize("version", [0, 1])
def test_a_limit_that_is_too_low_is_told_with_both_numbers_and_the_remedy(version: int, files: list[Path]) -> None:
    """Whichever version of control groups the machine has."""
    files[version].write_text(f"{400 << 20}\n")
    told = shortage(2, 2 << 30, files)

    assert told is not None
    assert "may take 0.4 GiB of memory; a worker takes 0.9 GiB for a small network, 0.2 GiB" in told
    assert "kills processes" in told
    assert room(2, files) == LEAST_BYTES
    assert "WORKER_LIMIT" in told
    assert "CAMQ_MAX_IMAGE_PIXELS" in told


def test_enough_memory_or_no_limit_is_no_matter(files: list[Path]) -> None:
    """`max` is version 2's word for none."""
    assert shortage(2, 2 << 30, files) is None
    files[0].write_text("max\n")
    assert limit(files) is None
    assert room(2, files) is None
    files[0].write_text(str(NEEDED))
    assert shortage(2, 2 << 30, files) is None
    files[0].write_text(str(NEEDED - 1))
    assert room(2, files) == (2 << 30) - 1
    assert "2.0 GiB are left for pictures instead of 2.0 GiB, and one that needs more is too_large" in str(
        shortage(2, 2 << 30, files)
    )


def test_a_worker_warns_before_it_loads_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own settings: torch alone may be too much, and this is then the last line of its log."""
    monkeypatch.setattr(container, "limit", lambda _: 400 << 20)
    with capture_logs() as logs:
        warn_of_memory(Settings(picture_processes=2))
        warn_of_memory(Settings(picture_processes=2, max_image_pixels=1, max_image_bytes=1))
    monkeypatch.setattr(container, "limit", lambda _: 64 << 30)
    warn_of_memory(Settings())

    assert [line["event"] for line in logs] == ["memory is short"] * 2
    assert ["with 0.2 GiB for pictures" in line["reason"] for line in logs] == [True, False]


def test_the_limit_of_its_own_group_comes_before_that_of_the_machine(tmp_path: Path) -> None:
    """As systemd sets it for a service; a container sees its own group as the root."""
    groups = tmp_path / "cgroup"
    groups.write_text("12:cpu:/\n4:memory:/camq.slice\n")
    assert [str(path) for path in own_files(groups)] == [
        "/sys/fs/cgroup/camq.slice/memory.max",
        "/sys/fs/cgroup/memory/camq.slice/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    groups.write_text("0::/\n")
    assert own_files(groups)[0] == own_files(tmp_path / "none")[0] == Path("/sys/fs/cgroup/memory.max")
