"""Picture processes of a test, and the ways in which a picture fails there."""

import sys
from collections.abc import Callable

import pytest

from shared.contract import Options
from shared.errors import ImageError
from worker.core.types import InputSpec, Limits
from worker.pictures import wire
from worker.pictures.pool import Pictures


def go_on() -> None:
    pass


LIMITS = Limits(max_pixels=4_000_000)
SETUP = wire.Setup(InputSpec(), LIMITS, 20.0)
START_S = 60.0


def that(code: str) -> Callable[[], list[str]]:
    """A declared test adapter of the process: the real one, which first does `code` with the bytes to decode."""
    program = (
        "import os, signal, sys, time, worker.pictures.process as p\n"
        "real = p.prepare\n"
        f"def prepare(data, *rest, **named):\n    {code}\n    return real(data, *rest, **named)\n"
        "p.prepare = prepare\n"
        "p.main()\n"
    )
    return lambda: [sys.executable, "-c", program]


#: Dies, hangs, or takes too much, as the bytes say; else it does what the real one does.
ACTS = that(
    "data[:4] == b'KILL' and signal.raise_signal(11)\n"
    "    while data[:4] == b'SPIN': pass\n"
    "    while data[:4] == b'HANG': time.sleep(1)\n"
    "    data[:4] == b'EATS' and bytearray(1 << 40)"
)


def failure(pictures: Pictures, data: bytes) -> ImageError:
    with pytest.raises(ImageError) as failed, pictures.open(data, Options(), go_on):
        pass
    return failed.value
