"""Where the original of each picture of a job is."""

from collections.abc import Iterator

from producer.parallel import ordered
from shared import keys
from shared.contract import ImageRef, decode_lines
from shared.errors import NotFoundError, ObjectTooLargeError, UsageError
from shared.ledger.ports import Jobs
from shared.storage.port import ObjectStore


def references(ledger: Jobs, store: ObjectStore, job: str, *, threads: int = 8) -> Iterator[ImageRef]:
    """The reference of every registered image, in the order of `producer.results.records`."""

    def load(chunk: str) -> list[ImageRef]:
        return decode_lines(store.get(keys.chunk_object(job, chunk)), ImageRef)

    return (reference for chunk in ordered(load, ledger.chunks(job), threads=threads) for reference in chunk)


def read(store: ObjectStore, key: str, limit: int) -> bytes | None:
    """The object's bytes; None when it is gone, larger than `limit`, or was never there."""
    try:
        return store.get(key, limit) if key else None
    except (NotFoundError, ObjectTooLargeError, UsageError):
        return None
