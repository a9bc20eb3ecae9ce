"""Input pictures that no job refers to, and their deletion while submissions may be looking for them.

A submission that finds an input in the store need not upload it, and registers a chunk that needs it. So inputs are
deleted in spells that the ledger knows of (`Jobs.deleting`): what a spell spares is looked up after it began, and a
chunk whose inputs were looked for before or meanwhile is not registered before they were looked for again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from producer.parallel import ordered
from shared import keys
from shared.contract import ImageRef, decode_lines
from shared.errors import NotFoundError
from shared.ledger.ports import Jobs
from shared.storage.port import SCHEME, ObjectStore, Stat

THREADS = 8
#: Objects looked at and deleted together, and reference files read, before the ledger hears that it goes on.
BATCH = 100
#: Submissions wait as long as a spell lasts, and go on in the pause after it.
SPELL_S = 20.0
PAUSE_S = 5.0
#: Says to the ledger that the deletion goes on.
GoOn = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted, or would be."""

    objects: int = 0
    bytes: int = 0

    def __add__(self, other: "Deleted") -> "Deleted":
        return Deleted(self.objects + other.objects, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it was listed."""

    key: str
    size: int


class Used:
    """The inputs that registered chunks refer to. Looking again reads only what was registered since."""

    def __init__(self, ledger: Jobs, store: ObjectStore) -> None:
        self._ledger, self._store = ledger, store
        self._seen: set[tuple[str, str, str]] = set()
        self.keys: set[str] = set()

    def look(self, go_on: GoOn) -> None:
        """Up to now."""
        for job in self._ledger.known_jobs():
            chunks = {(job, chunk, digest) for chunk, digest in self._ledger.digests(job).items()} - self._seen
            self.keys.update(inputs(self._store, (keys.chunk_object(job, chunk) for _, chunk, _ in chunks), go_on))
            self._seen |= chunks


def inputs(store: ObjectStore, references: Iterable[str], go_on: GoOn) -> Iterator[str]:
    """What these reference objects name in camq's bucket; what a job reads elsewhere is none of ours to delete."""
    own = f"{SCHEME}{store.bucket}/"

    def load(key: str) -> list[ImageRef]:
        try:
            return decode_lines(store.get(key), ImageRef)
        except NotFoundError:
            return []

    for number, refs in enumerate(ordered(load, references, threads=THREADS)):
        if number % BATCH == 0:
            go_on()
        yield from (ref.key.removeprefix(own) for ref in refs if ref.key)


def delete_unused(
    ledger: Jobs, store: ObjectStore, candidates: Iterable[str], wanted: Callable[[Stat], bool], go_on: GoOn
) -> Deleted:
    """Those inputs to which no chunk refers, if they are still as `wanted` right before."""
    used = Used(ledger, store)
    used.look(go_on)  # the long look, while submissions go on
    unused = [key for key in candidates if key not in used.keys]
    batches = deque(unused[start : start + BATCH] for start in range(0, len(unused), BATCH))
    deleted = Deleted()
    while batches:
        with ledger.deleting(keys.INPUTS) as spell_goes_on:
            deleted += _spell(store, used, batches, wanted, (spell_goes_on, go_on))
        if batches:
            time.sleep(PAUSE_S)
    return deleted


def _spell(
    store: ObjectStore,
    used: Used,
    batches: deque[list[str]],
    wanted: Callable[[Stat], bool],
    both_go_on: tuple[GoOn, GoOn],
) -> Deleted:
    def go_on() -> None:
        for one_goes_on in both_go_on:
            one_goes_on()

    used.look(go_on)
    end, deleted = time.monotonic() + SPELL_S, Deleted()
    while batches:
        batch = [key for key in batches.popleft() if key not in used.keys]
        stats = zip(batch, ordered(store.stat, batch, threads=THREADS), strict=True)
        deleted += delete(store, [Found(key, stat.size) for key, stat in stats if stat and wanted(stat)], go_on)
        if time.monotonic() > end:
            break
    return deleted


def delete(store: ObjectStore, found: list[Found], go_on: GoOn) -> Deleted:
    """All of them, batch by batch."""
    for start in range(0, len(found), BATCH):
        go_on()
        store.delete(entry.key for entry in found[start : start + BATCH])
    return measure(found)


def measure(found: Iterable[Found]) -> Deleted:
    """How much it is."""
    return sum((Deleted(1, entry.size) for entry in found), Deleted())
