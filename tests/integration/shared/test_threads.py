"""Types of the contract in many threads at once, from the first use on."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from msgspec import json
from {module} import {name}
sys.setswitchinterval(1e-6)
start = threading.Barrier(8)

def read():
    start.wait()
    for _ in range(200):
        json.decode({raw!r}, type={name})

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
#: Without `prepare` more than half of the processes crash.
TIMES = 5
RECORD = (
    b'{"index":0,"source":"a","state":"succeeded","predictions":[{"rank":1,"class_index":1,"label":"x",'
    b'"probability":0.5,"overlay":"o","box":[1,2,3,4],"map_min":0,"map_max":1,"flat":false}]}'
)


@pytest.mark.parametrize(
    ("module", "name", "raw"),
    [
        ("shared.contract", "ImageRecord", RECORD),
        ("producer.web.http.bodies", "Submission", b'{"images":[{"source":"a"}]}'),
    ],
)
def test_a_type_with_others_in_it_may_be_read_first_by_several_threads(module: str, name: str, raw: bytes) -> None:
    """msgspec crashes a process in which two threads are the first to read such a type."""
    program = PROGRAM.format(module=module, name=name, raw=raw)
    for _ in range(TIMES):
        assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0
