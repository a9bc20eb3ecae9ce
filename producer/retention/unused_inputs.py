"""Input pictures that no job refers to, and their deletion.

Nothing keeps a submission from referring to an input meanwhile. What does: `gc` deletes only what is far older than
the age from which `submission.upload` writes an input again, and looks at each object right before it deletes it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from producer.parallel import ordered
from shared import keys
from shared.contract import ImageRef
from shared.errors import MessageError, NotFoundError, ObjectTooLargeError
from shared.ledger import RedisLedger
from shared.storage.job_objects import named_references
from shared.storage.port import SCHEME, ObjectStore, Stat

THREADS = 8


@dataclass(frozen=True, slots=True)
class DeletionStats:
    """What was deleted, or would be."""

    objects: int = 0
    bytes: int = 0
    #: Reference objects that cannot be read, for which all inputs were kept.
    unreadable: tuple[str, ...] = ()

    def __add__(self, other: "DeletionStats") -> "DeletionStats":
        unreadable = self.unreadable + other.unreadable
        return DeletionStats(self.objects + other.objects, self.bytes + other.bytes, unreadable)


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as it was listed."""

    key: str
    size: int


def used_inputs(ledger: RedisLedger, store: ObjectStore, unreadable: list[str] | None = None) -> set[str]:
    """The inputs that registered chunks refer to, as far as `inputs` can read it."""
    jobs = ledger.known_jobs()
    references = chain.from_iterable((keys.chunk_object(job, chunk) for chunk in ledger.chunks(job)) for job in jobs)
    return set(inputs(store, references, unreadable))


def inputs(store: ObjectStore, references: Iterable[str], unreadable: list[str] | None = None) -> Iterator[str]:
    """The inputs that these reference objects name; what a job reads elsewhere is not camq's to delete.

    Objects that are there and cannot be read are added to `unreadable`.
    """
    own = f"{SCHEME}{store.bucket}/"

    def load(key: str) -> list[ImageRef]:
        try:
            return named_references(store, key)
        except NotFoundError:
            return []
        except (ObjectTooLargeError, MessageError):
            if unreadable is not None:
                unreadable.append(key)
            return []

    for refs in ordered(load, references, threads=THREADS):
        named = (ref.key.removeprefix(own) for ref in refs)
        yield from (key for key in named if key.startswith(keys.INPUTS))


def delete_unused(
    ledger: RedisLedger,
    store: ObjectStore,
    listed: Iterable[ListedObject],
    wanted: Callable[[Stat], bool],
    dry_run: bool,
) -> DeletionStats:
    """Delete those of the listed inputs to which no chunk refers, each only if it is `wanted` right before.

    While a chunk's references cannot be read, they may name any input: then none is deleted.
    """
    unreadable: list[str] = []
    used = used_inputs(ledger, store, unreadable)
    if unreadable:
        return DeletionStats(unreadable=tuple(sorted(unreadable)))

    def delete_one(entry: ListedObject) -> DeletionStats:
        stat = store.stat(entry.key)
        if stat is None or not wanted(stat):
            return DeletionStats()
        if not dry_run:
            store.delete([entry.key])
        return DeletionStats(1, stat.size)

    unused = (entry for entry in listed if entry.key not in used)
    return sum(ordered(delete_one, unused, threads=THREADS), DeletionStats())
