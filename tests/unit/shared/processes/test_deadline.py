"""Limits that count only the time in which the process ran."""

import pytest

from shared.processes import deadline as awake
from shared.processes.deadline import PIECE_S, Deadline


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test sets: its one element is the time."""
    now = [100.0]
    monkeypatch.setattr(awake.time, "monotonic", lambda: now[0])
    return now


def test_a_deadline_passes_after_its_seconds(clock: list[float]) -> None:
    """Waited for in pieces, the last of which is as short as what is left."""
    deadline, pieces = Deadline(1.2), []
    while not deadline.passed():
        pieces.append(round(deadline.piece(), 3))
        clock[0] += pieces[-1]

    assert pieces == [PIECE_S, PIECE_S, 0.2]


def test_a_stop_of_the_whole_process_costs_two_pieces(clock: list[float]) -> None:
    """A picture that was being decoded when the machine slept is not to blame for the night."""
    deadline = Deadline(3.0)
    clock[0] += 8 * 3600

    pieces = []
    while not deadline.passed():
        pieces.append(deadline.piece())
        clock[0] += pieces[-1]
    assert sum(pieces) == pytest.approx(3.0 - 2 * PIECE_S)
