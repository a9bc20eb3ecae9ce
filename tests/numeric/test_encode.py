"""What an overlay is written to on its way to bytes."""

import errno
import os

import numpy as np
import pytest

from shared.contract import FORMATS
from tests.numeric.pictures import draw, photo


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has it")
@pytest.mark.parametrize("kind", FORMATS)
def test_only_jpeg_is_written_to_a_descriptor(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what lets threads encode beside each other; the other encoders gain nothing by one."""
    made: list[str] = []
    create = os.memfd_create
    monkeypatch.setattr(os, "memfd_create", lambda name: made.append(name) or create(name))

    draw(photo(120, 90), np.eye(7), format=kind, heatmaps=True)

    assert len(made) == (1 if kind == "jpeg" else 0)


def test_a_kernel_that_refuses_a_descriptor_costs_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a process that has none left: the bytes are the same."""
    expected = draw(photo(120, 90), np.eye(7), format="jpeg")

    def refuse(_name: str) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    assert draw(photo(120, 90), np.eye(7), format="jpeg") == expected
