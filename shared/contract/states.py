"""States of an image and of a job, and which may follow which."""

from enum import StrEnum


class ImageState(StrEnum):
    """One image has one fate: the last three states are final (only `retry` takes `failed` back)."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def byte(self) -> str:
        """The one character that stands for this state in the ledger's image string."""
        return self.value[0]


class JobState(StrEnum):
    """A job is queued or running until every image is final; then it is one of the other four."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job by itself."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


def job_state(*, finished: bool, started: bool, succeeded: int, failed: int, cancelled: int) -> JobState:
    """The job's state, derived from its counters so that the two can never disagree."""
    if not finished:
        return JobState.RUNNING if started else JobState.QUEUED
    if cancelled:
        return JobState.CANCELLED
    if not failed:
        return JobState.SUCCEEDED
    return JobState.PARTIAL if succeeded else JobState.FAILED
