"""A job's status on its way."""

from shared.contract import JobState, JobStatus


def status(done: int = 0, *, interrupted: bool = False) -> JobStatus:
    return JobStatus(
        job="j",
        name=None,
        state=JobState.SUCCEEDED if done == 2 else JobState.RUNNING,
        sealed=True,
        total=2,
        queued=2 - done,
        running=0,
        succeeded=done,
        failed=0,
        cancelled=0,
        created_at="2026-11-23T00:00:00.000Z",
        finished_at=None,
        images_per_second=0.0,
        eta_s=None,
        model="net@0",
        submission_interrupted=interrupted,
    )
