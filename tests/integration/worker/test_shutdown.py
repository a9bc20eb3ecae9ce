"""How a worker takes leave."""

import subprocess
import sys

PROGRAM = """
import os, signal, sys, threading
from worker.chunk.leases import LeaseKeeper
from worker.upkeep.shutdown import Shutdown

told = threading.Event()
shutdown = Shutdown(LeaseKeeper(None), 3600, told.set)
signal.signal(signal.SIGTERM, lambda *_: shutdown.begin())
os.kill(os.getpid(), signal.SIGTERM)
print(told.wait(30))
"""


def test_the_ledger_is_told_of_a_stop_at_once() -> None:
    """With the next heartbeat it might be too late: a second signal would make a death of it."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)

    assert ended.stdout == "True\n", ended.stderr[-1000:]
