"""Where the original of each picture of a job is, and what its owner calls it."""

from collections.abc import Iterable, Iterator

from producer.parallel import ordered
from shared.contract import ImageRef, ModelCard, Options
from shared.contract.preview import PreviewRequest
from shared.errors import (
    DeniedError,
    MessageError,
    NotFoundError,
    ObjectTooLargeError,
    UnavailableError,
    UsageError,
)
from shared.ledger import NewChunk, RedisLedger
from shared.storage.job_objects import read_references
from shared.storage.port import ObjectStore

#: What one damaged object costs is what stands in it.
DAMAGED = (NotFoundError, ObjectTooLargeError, MessageError)


def references(ledger: RedisLedger, store: ObjectStore, job: str, *, threads: int = 8) -> Iterator[ImageRef]:
    """The reference of every registered image, in the order of `producer.results.records.records`; one that was damaged
    or removed is empty."""

    def load(part: NewChunk) -> list[ImageRef]:
        return list(references_of(store, job, part, []).values())

    return (reference for part in ordered(load, ledger.submitted(job), threads=threads) for reference in part)


def references_of(store: ObjectStore, job: str, part: NewChunk, faults: list[str]) -> dict[int, ImageRef]:
    """Of a submitted chunk, by index. Where they cannot be read they are empty, and `faults` has the reason."""
    found = {index: ImageRef(index=index) for index in range(part.first, part.first + part.count)}
    if part.chunk:
        try:
            read = read_references(store, job, part.chunk, part.digest)
            found |= {each.index: each for each in read if each.index in found}
        except DAMAGED as error:
            faults.append(str(error))
    return found


def sources(ledger: RedisLedger, store: ObjectStore, job: str, indices: Iterable[int]) -> dict[int, str]:
    """The names of these images by index, and their own ids. Only the reference files that hold them are read."""
    wanted, found = set(indices), dict[int, str]()
    for part in ledger.submitted(job) if wanted else []:
        if held := wanted.intersection(range(part.first, part.first + part.count)):
            here = references_of(store, job, part, [])
            found |= {index: _name(here[index]) for index in held}
    return found


def _name(reference: ImageRef) -> str:
    return f"{reference.source} ({reference.id})" if reference.id else reference.source


def previewed(reference: ImageRef, options: Options, model: ModelCard | None, side: int) -> PreviewRequest:
    """A preview of the original of an image, as its job reads pictures: its page, its range, its orientation."""
    own = model.preprocessing if model else None
    return PreviewRequest(
        side=side,
        page=reference.page or 1,
        range=options.range or None,
        keep_truncated=options.truncated == "keep",
        exif=own.exif if own else True,
    )


def read(store: ObjectStore, key: str, limit: int) -> bytes | None:
    """The object's bytes; None when it is gone, larger than `limit`, or was never there."""
    try:
        return store.get(key, limit) if key else None
    except (NotFoundError, ObjectTooLargeError, DeniedError, UnavailableError, UsageError):
        return None
