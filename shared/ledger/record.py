"""A job's record in Redis as the status that everybody reads. Others may write there: it is input, not truth."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.contract import MAX_IMAGES_PER_JOB, ErrorInfo, ImageState, JobStatus, decode, job_state
from shared.errors import MessageError
from shared.ledger.eta import estimate, started_at
from shared.ledger.webhooks import webhook_of

#: A job unsealed for this long without a sign of its producer counts as interrupted.
INTERRUPTED_AFTER_S = 600
_MOST_DIGITS = len(str(MAX_IMAGES_PER_JOB))
_STATE_OF_BYTE = {state.byte: state for state in ImageState}


def status_of(job: str, row: Any, now: float) -> JobStatus | None:
    """The job's status; None where there is no record, or one that camq did not write: it must not hide the others."""
    try:
        return _status(job, row, now) if "model" in row else None
    except (KeyError, ValueError, TypeError, ArithmeticError, OSError, msgspec.MsgspecError):
        return None


def count_of(text: str) -> int:
    """A number of images in a job's record. ValueError or TypeError when it cannot be one."""
    if len(text) > _MOST_DIGITS or not 0 <= int(text) <= MAX_IMAGES_PER_JOB:
        raise ValueError(f"not a number of images: {text[:40]!r}")
    return int(text)


def _status(job: str, row: Mapping[str, str], now: float) -> JobStatus:
    total, running, succeeded, failed, cancelled = (
        count_of(row[field]) for field in ("total", "running", "succeeded", "failed", "cancelled")
    )
    done = succeeded + failed + cancelled
    finished, started = row.get("finished_at"), row.get("started_at")
    sealed = row["sealed"] == "1"
    pace = estimate(row, now)
    return JobStatus(
        job=job,
        name=row["name"] or None,
        state=job_state(
            finished=finished is not None,
            started=started is not None,
            succeeded=succeeded,
            failed=failed,
            cancelled=cancelled,
        ),
        sealed=sealed,
        total=total,
        queued=total - running - done,
        running=running,
        succeeded=succeeded,
        failed=failed,
        cancelled=cancelled,
        created_at=_iso(row["created_at"]) or "",
        finished_at=_iso(finished),
        images_per_second=pace.rate,
        eta_s=pace.eta_s,
        model=row["model"],
        submission_interrupted=not sealed and now - float(row["producer_seen_at"]) > INTERRUPTED_AFTER_S,
        webhook=webhook_of(row),
        tags=msgspec.json.decode(row.get("tags", "[]"), type=tuple[str, ...]),
        started_at=_iso(started_at(row)),
        left_out=msgspec.json.decode(row.get("left_out", "{}"), type=dict[str, int]),
    )


def _iso(seconds: str | float | None) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def failures_of(raw: Mapping[str, str] | None) -> dict[int, ErrorInfo]:
    """Why images failed, by index, from their hash; what camq did not write there must not hide the others."""
    found = {}
    for index, line in (raw or {}).items():
        with suppress(ValueError, MessageError):
            found[int(index)] = decode(line, ErrorInfo)
    return found


def states_of(raw: str | None) -> list[ImageState]:
    """The state of every image, from the job's string of bytes."""
    return [_STATE_OF_BYTE.get(byte, ImageState.QUEUED) for byte in raw or ""]
