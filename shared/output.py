"""Where a job's overlays may go instead of camq's own bucket. Producer and worker ask the same question."""

from shared.config import Settings
from shared.errors import UsageError
from shared.storage.port import SCHEME, locate_object


def check_output(output: str, settings: Settings) -> str:
    """The prefix without a slash at its end. UsageError for what is none, or where nothing may be written.

    The worker asks as well: whoever can write to Redis could ask for any bucket.
    """
    prefix = output.rstrip("/")
    if not prefix.startswith(SCHEME) or not prefix.isprintable():
        raise UsageError(f"output {output!r} is no place for overlays: it looks like s3://bucket/prefix")
    bucket, _ = locate_object(f"{prefix}/job.json", "")
    if bucket == settings.bucket:
        # There `rm` and `gc` delete, and a job could write over the inputs and results of others.
        raise UsageError(f"output {prefix} is in camq's own bucket {bucket!r}: give a bucket of yours, or no output")
    allowed = settings.writable_outside()
    if allowed and not f"{prefix}/".startswith(allowed):
        raise UsageError(f"output {prefix} is outside of what CAMQ_OUTPUT_PREFIXES allows: {' '.join(allowed)}")
    return prefix
