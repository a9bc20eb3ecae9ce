"""Types of the contract in many threads at once, from the first use on."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from msgspec import MsgspecError, json
from {module} import {name}
sys.setswitchinterval(1e-6)
start = threading.Barrier(8)

def read():
    start.wait()
    try:
        json.decode(b'{{}}', type={name})
    except MsgspecError:
        pass

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
#: Without `prepare` about half of the processes crash.
TIMES = 8


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("shared.contract", "ImageRecord"),
        ("shared.contract", "Options"),
        ("shared.contract", "ModelCard"),
        ("shared.ledger.chunks", "ChunkRecord"),
        ("shared.ledger.eta", "Pace"),
        ("shared.tokens", "_Stored"),
        ("producer.web.http.bodies", "Submission"),
        ("worker.chunk.quarantine", "Answer"),
        ("worker.chunk.transport", "_Envelope"),
    ],
)
def test_a_type_may_be_read_first_by_several_threads(module: str, name: str) -> None:
    """msgspec crashes a process in which two threads are the first to read a type."""
    program = PROGRAM.format(module=module, name=name)
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(TIMES)]
    assert [process.wait(timeout=120) for process in running] == [0] * TIMES
