"""Input pictures that no job refers to, and their deletion while submissions may be looking for them.

A submission that finds an input in the store need not upload it, and registers a chunk that needs it. So inputs are
deleted in spells that the ledger knows of (`Jobs.deleting`): what a spell spares is looked up after it began, and a
chunk whose inputs were looked for before or meanwhile is not registered before they were looked for again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

from producer.parallel import ordered
from shared import keys
from shared.contract import ImageRef, decode_lines
from shared.errors import DeletionError, NotFoundError
from shared.ledger.values import Jobs
from shared.storage.port import SCHEME, ObjectStore, Stat

THREADS = 8
#: Objects listed, looked at and deleted together, and reference files and jobs looked at, before the ledger hears that
#: it goes on.
BATCH = 100
#: Submissions wait as long as a spell lasts, and go on in the pause after it. A spell that has begun deletes a batch,
#: however long the look before it took.
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
    """The inputs that registered chunks refer to. Looking again reads only jobs that have changed, and of them only
    the references that came since."""

    def __init__(self, ledger: Jobs, store: ObjectStore) -> None:
        self._ledger, self._store = ledger, store
        self._revisions: dict[str, str] = {}
        self._seen: set[tuple[str, str, str]] = set()
        self.keys: set[str] = set()

    def look(self, go_on: GoOn) -> None:
        """Up to now."""
        names = self._ledger.known_jobs(expired=True)
        for start in range(0, len(names), BATCH):
            go_on()
            page = names[start : start + BATCH]
            for job, revision in zip(page, self._ledger.revisions(page), strict=True):
                if revision and revision != self._revisions.get(job):
                    go_on()
                    self._read(job, go_on)
                    self._revisions[job] = revision  # of before the reading: what came meanwhile is read again

    def _read(self, job: str, go_on: GoOn) -> None:
        chunks = {(job, chunk, digest) for chunk, digest in self._ledger.digests(job).items()} - self._seen
        self.keys.update(inputs(self._store, (keys.chunk_object(job, chunk) for _, chunk, _ in chunks), go_on))
        self._seen |= chunks


def inputs(store: ObjectStore, references: Iterable[str], go_on: GoOn) -> Iterator[str]:
    """The inputs that these reference objects name; what a job reads elsewhere is none of ours to delete."""
    own = f"{SCHEME}{store.bucket}/"

    def load(key: str) -> list[ImageRef]:
        try:
            return decode_lines(store.get(key), ImageRef)
        except NotFoundError:
            return []

    for number, refs in enumerate(ordered(load, references, threads=THREADS)):
        if number % BATCH == 0:
            go_on()
        named = (ref.key.removeprefix(own) for ref in refs)
        yield from (key for key in named if key.startswith(keys.INPUTS))


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
        used.look(go_on)  # once more, so that they need not wait for what came in the meantime to be read
        with _locked(ledger, go_on) as spell_goes_on:
            deleted += _spell(store, used, batches, wanted, (spell_goes_on, go_on))
        if batches:
            time.sleep(PAUSE_S)
    return deleted


@contextmanager
def _locked(ledger: Jobs, go_on: GoOn) -> Iterator[GoOn]:
    """The inputs are ours to delete, however long another deletion of inputs is at it before."""
    with ExitStack() as stack:
        while True:
            with suppress(DeletionError):
                spell_goes_on = stack.enter_context(ledger.deleting(keys.INPUTS, wait_s=0))
                break
            go_on()
            time.sleep(PAUSE_S)  # not at once after the other's spell: submissions have their turn in between
        yield spell_goes_on


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

    end, deleted = time.monotonic() + SPELL_S, Deleted()
    used.look(go_on)
    while batches:
        batch = [key for key in batches.popleft() if key not in used.keys]
        stats = zip(batch, ordered(store.stat, batch, threads=THREADS), strict=True)
        deleted += delete(store, (Found(key, stat.size) for key, stat in stats if stat and wanted(stat)), go_on)
        if time.monotonic() > end:
            break
    return deleted


def delete(store: ObjectStore, found: Iterable[Found], go_on: GoOn) -> Deleted:
    """All of them, batch by batch as they are listed."""
    listed, deleted = iter(found), Deleted()
    while batch := list(islice(listed, BATCH)):
        go_on()
        store.delete(entry.key for entry in batch)
        deleted += measure(batch)
    return deleted


def measure(found: Iterable[Found]) -> Deleted:
    """How much it is."""
    return sum((Deleted(1, entry.size) for entry in found), Deleted())
