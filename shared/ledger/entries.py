"""Chunks on their way into a job: reserved before their references are written, registered after."""

from collections.abc import Sequence

from shared.errors import DeletionError, UnknownJobError, UsageError
from shared.ledger.scripts import Scripts
from shared.ledger.values import NewChunk

#: Chunks handled by one call: bounds how long the script blocks Redis.
REGISTER_BATCH = 200


class RedisEntries:
    """The part of `Jobs` that adds to a job; see there."""

    scripts: Scripts

    def reserve(self, job: str, chunks: Sequence[NewChunk]) -> set[str]:
        """See `Jobs.reserve`."""
        registered: set[str] = set()
        for start in range(0, len(chunks), REGISTER_BATCH):
            pairs = [part for c in chunks[start : start + REGISTER_BATCH] for part in (c.chunk, c.digest)]
            answer, *known = self.scripts("reserve", job, *pairs)
            _check(job, answer)
            registered.update(known)
        return registered

    def register(self, job: str, chunks: Sequence[NewChunk], deletions: int | None = None) -> None:
        """See `Jobs.register`."""
        seen = "" if deletions is None else deletions
        for start in range(0, len(chunks), REGISTER_BATCH):
            batch = chunks[start : start + REGISTER_BATCH]
            flat = [part for c in batch for part in (c.chunk, c.first, c.count, c.digest)]
            _check(job, self.scripts("register", job, seen, *flat))


def _check(job: str, answer: str) -> None:
    match answer:
        case "ok":
            return
        case "gone":
            raise removed(job)
        case "cancelled":
            raise UsageError(f"job {job} was cancelled; nothing more can be added to it")
        case "unreserved":
            raise DeletionError(
                f"the ledger does not take these pictures: job {job} was removed and begun anew meanwhile, and what "
                "they refer to may be gone"
            )
        case "deleting":
            raise DeletionError("the ledger takes no new pictures while `camq rm` or `camq gc` deletes old ones")
    raise UsageError(f"job {job} exists with other pictures or ids; take another --job-id ({answer})")


def removed(job: str) -> UnknownJobError:
    """What a producer hears whose job was removed under its hands."""
    return UnknownJobError(f"job {job} was removed while it was being submitted; submit it again")
