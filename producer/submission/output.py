"""The user's own place for a job's overlays, proved to be writable before a picture is uploaded."""

from shared import keys
from shared.contract import encode
from shared.errors import UnreachableError, UsageError
from shared.storage.port import ObjectStore


def prove_writable(store: ObjectStore, job: str, output: str) -> None:
    """Leaves `job.json` there, with the same bytes each time. UsageError when the prefix cannot be written.

    Only writing tells whether one may write; and whoever may write need not be allowed to delete.
    """
    note = keys.output_note(job, output)
    try:
        store.put(note, encode({"job": job}), "application/json")
    except UnreachableError:
        raise
    except Exception as error:
        raise UsageError(f"output {output} cannot be written: {error}") from error
