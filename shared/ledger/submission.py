"""How a chunk gets into a job: reserve it, write its references, register it."""

import hashlib
from collections.abc import Mapping, Sequence

from shared import keys
from shared.contract import ImageRef, encode, encode_lines
from shared.errors import DeletionError, TakenError, UnknownJobError, UsageError
from shared.ledger.scripts import LedgerSide
from shared.ledger.values import NewChunk
from shared.storage.port import ObjectStore

#: References of so many bytes, those of a few pictures, also travel in the ledger, so that a worker need not ask
#: storage for them: of a lone picture's time that is 2 ms.
MOST_CARRIED = 1000


def add_chunk(
    ledger: "RedisSubmission", store: ObjectStore, job: str, chunk: str, references: Sequence[ImageRef]
) -> None:
    """Make the chunk with these images part of an open job; one that is registered already is only compared.

    Their inputs must be in the store. UsageError when the job has other pictures there; then nothing was written over.
    """
    raw = encode_lines(references)
    new = NewChunk(chunk, references[0].index, len(references), hashlib.sha256(raw).hexdigest())
    if not ledger.reserve(job, new):
        store.put(keys.chunk_object(job, chunk), raw, "application/x-ndjson")
    ledger.register(job, new, raw.decode() if len(raw) <= MOST_CARRIED else "")


class RedisSubmission(LedgerSide):
    """Adds chunks to a job."""

    def reserve(self, job: str, chunk: NewChunk) -> bool:
        """The chunk's references may be written; True if it is registered already, so that they need not be.
        UsageError if it is known with other content."""
        answer = self.scripts("reserve", job, chunk.chunk, chunk.digest)
        if answer == "registered":
            return True
        _check(job, answer)
        return False

    def register(self, job: str, chunk: NewChunk, carried: str = "") -> None:
        """A reserved chunk joins the job, once. UsageError if it is known with other content, or it is too late;
        DeletionError if the job was removed and begun again since, and the chunk must be reserved once more.

        Its references may be `carried` to the worker by the ledger.
        """
        _check(job, self.scripts("register", job, chunk.chunk, chunk.first, chunk.count, chunk.digest, carried))

    def seal(self, job: str, left_out: Mapping[str, int] | None = None) -> None:
        """No more chunks will come. `left_out` counts by kind what was not taken for a picture."""
        if self.scripts("seal", job, encode(left_out).decode() if left_out else "") == "gone":
            raise _removed(job)


def _check(job: str, answer: str) -> None:
    match answer:
        case "ok":
            return
        case "gone":
            raise _removed(job)
        case "cancelled":
            raise UsageError(f"job {job} was cancelled; nothing more can be added to it")
        case "unreserved":
            raise DeletionError(f"job {job} was meanwhile removed and restarted; its image list may be gone")
        case "unreadable":
            raise UsageError(f"job {job} has a damaged record in Redis: cancel it, and use another --job-id")
    raise TakenError(f"job {job} already exists with other pictures or ids; use another --job-id")


def _removed(job: str) -> UnknownJobError:
    return UnknownJobError(f"job {job} was removed while it was being submitted; submit it again")
