"""A worker that does not become ready, for as long as a download hangs."""

import sys
from pathlib import Path

import pytest

from producer.local import session
from producer.local.session import Local

#: Writes what a worker would write last, and then nothing.
HANGS = "print('downloading resnet18', flush=True); import signal; signal.pause()"


def test_a_worker_that_hangs_at_its_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its name and the last line of its log, so that the user knows what is waited for."""
    monkeypatch.setattr(session, "SLOW_START_S", 1.0)
    monkeypatch.setattr(session, "worker_command", lambda: [sys.executable, "-c", HANGS])
    heard: list[str] = []

    def notice(text: str) -> None:
        heard.append(text)
        if "downloading" in text or len(heard) == 20:
            raise KeyboardInterrupt

    with Local(tmp_path, notice) as local:
        local.start_workers(1, {"model": "resnet18"})
        with pytest.raises(KeyboardInterrupt):
            local.wait_ready()

    assert heard[-1].startswith("worker-1 is still starting after")
    assert heard[-1].endswith(": downloading resnet18")
