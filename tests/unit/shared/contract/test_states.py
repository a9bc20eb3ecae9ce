"""States of jobs and images."""

import pytest

from shared.contract import ImageState, JobState, job_state


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"succeeded": 3, "failed": 0, "cancelled": 0}, JobState.SUCCEEDED),
        ({"succeeded": 2, "failed": 1, "cancelled": 0}, JobState.PARTIAL),
        ({"succeeded": 0, "failed": 3, "cancelled": 0}, JobState.FAILED),
        ({"succeeded": 1, "failed": 1, "cancelled": 1}, JobState.CANCELLED),
    ],
)
def test_a_finished_job_is_named_after_its_images(counts: dict[str, int], expected: JobState) -> None:
    """Succeeded when all did, failed when none did, partial in between, cancelled when anything was."""
    assert job_state(finished=True, started=True, **counts) is expected


def test_an_unfinished_job_is_queued_until_its_first_claim() -> None:
    """A job whose first images are done is still running."""
    counts = {"succeeded": 1, "failed": 0, "cancelled": 0}

    assert job_state(finished=False, started=False, **counts) is JobState.QUEUED
    assert job_state(finished=False, started=True, **counts) is JobState.RUNNING


def test_every_state_has_a_byte_of_its_own() -> None:
    """The ledger keeps one byte per image, so two states must not share an initial."""
    assert len({state.byte for state in ImageState}) == len(ImageState)
