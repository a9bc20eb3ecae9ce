"""A device that is lost to the process."""

import subprocess
import sys

import pytest
import torch

from worker.core.engine.engine import is_fatal

PROGRAM = """
from contextlib import nullcontext
import numpy as np
from shared.contract import Options
from worker.image.batcher import Batcher
from worker.image.build import exit_fatal

class Lost:
    '''A declared test adapter of the engine: its device has a sticky error.'''
    max_batch_size, overlaps = 4, False
    def begin(self, pixels, options):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

batcher = Batcher(Lost(), 0.0, lambda stage: nullcontext(), exit_fatal)
batcher.explain(np.zeros((1, 1, 3), np.uint8), Options(), urgent=False)
"""


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (torch.AcceleratorError("the device is gone"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("shape mismatch"), False),
        (ValueError("CUDA error in a file name"), False),
    ],
)
def test_only_an_error_that_every_batch_would_meet_is_fatal(error: Exception, fatal: bool) -> None:
    """Lack of memory is mended by a smaller batch, other faults belong to one picture."""
    assert is_fatal(error) is fatal


@pytest.mark.slow
def test_a_process_whose_device_is_lost_ends_instead_of_failing_every_image() -> None:
    """Its chunks run elsewhere: no image gets an answer from it."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=100, check=False)

    assert ended.returncode == 70, ended.stderr[-1000:]
