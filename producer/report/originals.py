"""Where the original of each picture of a job is, and what its owner calls it."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache

from producer.parallel import ordered
from shared import keys
from shared.contract import ImageRef, decode_lines
from shared.errors import NotFoundError, ObjectTooLargeError, UsageError
from shared.ledger.ports import Jobs
from shared.storage.port import ObjectStore

#: Reference files in memory while names are looked up; the search touches few of them twice.
_KEPT = 16


def references(ledger: Jobs, store: ObjectStore, job: str, *, threads: int = 8) -> Iterator[ImageRef]:
    """The reference of every registered image, in the order of `producer.results.records`."""

    def load(chunk: str) -> list[ImageRef]:
        return decode_lines(store.get(keys.chunk_object(job, chunk)), ImageRef)

    return (reference for chunk in ordered(load, ledger.chunks(job), threads=threads) for reference in chunk)


def sources(ledger: Jobs, store: ObjectStore, job: str, indices: Iterable[int]) -> dict[int, str]:
    """The names of these images by index, and their own ids. Only the reference files that hold them are read."""
    chunks = ledger.chunks(job)

    @lru_cache(maxsize=_KEPT)
    def load(position: int) -> list[ImageRef]:
        return decode_lines(store.get(keys.chunk_object(job, chunks[position])), ImageRef)

    def holder(index: int) -> int:
        # Chunks of one submission are equally long, the last apart; a resumed one may have changed its chunk size.
        guess = min(index // max(1, len(load(0))), len(chunks) - 1)
        if load(guess)[0].index <= index <= load(guess)[-1].index:
            return guess
        return max(0, bisect_right(range(len(chunks)), index, key=lambda position: load(position)[0].index) - 1)

    found: dict[int, str] = {}
    for index in sorted(indices) if chunks else ():
        found |= {one.index: _name(one) for one in load(holder(index)) if one.index == index}
    return found


def _name(reference: ImageRef) -> str:
    return f"{reference.source} ({reference.id})" if reference.id else reference.source


def read(store: ObjectStore, key: str, limit: int) -> bytes | None:
    """The object's bytes; None when it is gone, larger than `limit`, or was never there."""
    try:
        return store.get(key, limit) if key else None
    except (NotFoundError, ObjectTooLargeError, UsageError):
        return None
