"""Where a job's overlays may go instead of camq's own bucket. Producer and worker make the same check."""

from shared.config import Settings
from shared.errors import UsageError
from shared.storage.port import SCHEME, locate_object


def check_output(output: str, settings: Settings) -> str:
    """The prefix without a slash at its end. UsageError when it is invalid or must not be written.

    The worker checks it again: a client with access to Redis could name any bucket.
    """
    prefix = output.rstrip("/")
    if not prefix.startswith(SCHEME) or not prefix.isprintable():
        raise UsageError(f"invalid output {output!r}: expected s3://bucket/prefix")
    bucket, _ = locate_object(f"{prefix}/job.json", "")
    if bucket == settings.bucket:
        # There `rm` and `gc` delete, and a job could overwrite the inputs and results of others.
        raise UsageError(f"invalid output {prefix!r}: {bucket!r} is camq's own bucket; use another, or omit the option")
    allowed = settings.writable_outside()
    if allowed and not f"{prefix}/".startswith(allowed):
        raise UsageError(f"invalid output {prefix!r}: CAMQ_OUTPUT_PREFIXES allows {' '.join(allowed)}")
    return prefix
