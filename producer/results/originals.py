"""Where the original of each picture of a job is, and what its owner calls it."""

from collections.abc import Iterable, Iterator

from producer.parallel import ordered
from shared.contract import ImageRef, ModelCard, Options
from shared.contract.preview import PreviewRequest
from shared.errors import DeniedError, NotFoundError, ObjectTooLargeError, UnavailableError, UsageError
from shared.ledger import RedisLedger
from shared.storage.job_objects import read_references
from shared.storage.port import ObjectStore


def references(ledger: RedisLedger, store: ObjectStore, job: str, *, threads: int = 8) -> Iterator[ImageRef]:
    """The reference of every registered image, in the order of `producer.results.records.records`."""

    digests = ledger.digests(job)

    def load(chunk: str) -> list[ImageRef]:
        return read_references(store, job, chunk, digests[chunk])

    return (reference for chunk in ordered(load, digests, threads=threads) for reference in chunk)


def sources(ledger: RedisLedger, store: ObjectStore, job: str, indices: Iterable[int]) -> dict[int, str]:
    """The names of these images by index, and their own ids. Only the reference files that hold them are read."""
    found: dict[int, str] = {}
    holders = ledger.holders(job, indices)
    digests = ledger.digests(job) if holders else {}
    for chunk, held in holders.items():
        references = read_references(store, job, chunk, digests[chunk])
        found |= {one.index: _name(one) for one in references if one.index in held}
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
