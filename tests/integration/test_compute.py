"""Threads that decode and draw: their limit, and what becomes of a process with one that hangs."""

import subprocess
import sys
import threading
from contextlib import closing

import pytest

from shared.errors import ImageError
from worker.image.compute import Compute


def test_a_call_that_outlives_its_seconds_fails_its_picture_and_tells_the_process() -> None:
    """The thread is left behind; the next call gets another."""
    told = threading.Event()
    release = threading.Event()
    with closing(Compute(2, 0.05, told.set)) as compute:
        with pytest.raises(ImageError, match="CAMQ_DECODE_S") as failure:
            compute("decode", release.wait)
        assert compute("decode", len, b"ab") == 2
        release.set()

    assert failure.value.code == "timeout"
    assert told.is_set()
    assert compute.stuck


def test_seconds_count_from_the_first_instruction_and_not_from_the_queue() -> None:
    """A picture behind a full pool is not late."""
    gate = threading.Event()
    with closing(Compute(1, 5, lambda: None)) as compute:
        blocker = threading.Thread(target=lambda: compute("decode", gate.wait))
        blocker.start()
        waiting = threading.Thread(target=lambda: compute("decode", len, b""))
        waiting.start()
        gate.set()
        blocker.join()
        waiting.join()

    assert not compute.stuck


def test_what_a_decoder_raises_is_this_pictures_failure() -> None:
    """One image is one fate, also for an error that nobody foresaw."""

    def broken() -> None:
        raise ZeroDivisionError("a fault of ours")

    with closing(Compute(1, 5, lambda: None)) as compute, pytest.raises(ImageError) as failure:
        compute("render", broken)

    assert failure.value.code == "inference"
    assert "ZeroDivisionError" in failure.value.message


PROGRAM = """
import threading
from shared.errors import ImageError
from worker.image.compute import Compute
from worker.chunk.leases import LeaseKeeper
from worker.upkeep.shutdown import Shutdown
import signal, sys
keeper = LeaseKeeper(None)
shutdown = Shutdown(keeper, 3600, lambda: None)
signal.signal(signal.SIGTERM, lambda *_: shutdown.begin())
compute = Compute(1, 0.05, shutdown.replace)
try:
    compute("decode", threading.Event().wait)
except ImageError as error:
    print(error.code, keeper.draining)
compute.close()
sys.exit(shutdown.leave())
"""


def test_a_process_with_a_hanging_thread_drains_and_really_ends() -> None:
    """Else the interpreter waits for the thread for ever, and nobody starts another worker."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)

    assert "timeout True" in ended.stdout
    assert ended.returncode == 75
