"""The way of a chunk into the ledger: its inputs stored, its references reserved and written, itself registered."""

import hashlib
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from itertools import count

from producer.inputs.source import Source
from producer.outage import Patience
from producer.parallel import ordered
from producer.services import Services
from producer.submission.upload import Uploader
from shared import keys
from shared.contract import ImageRef, encode_lines
from shared.ledger.values import NewChunk

#: No count of deletions: they are under way, or some began between two images.
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Placed:
    """An image whose bytes were in the store when this many deletions had begun; its source, to store them again."""

    source: Source
    reference: ImageRef
    deletions: int


class Entrance:
    """One job's chunks. An input that is there may be deleted before the chunk that needs it is registered; the
    ledger then says so, and the chunk's inputs are looked for once more. So its sources are kept until it is in, and a
    chunk whose sources hold much data is a small one."""

    def __init__(self, services: Services, job: str, patient: Patience) -> None:
        self._ledger, self._store = services.ledger, services.store
        self._threads = services.settings.io_threads
        self._upload = Uploader(self._store, limit=services.settings.max_image_bytes, patient=patient)
        self._job = job
        self._patient = patient
        self._deletions = patient(self._ledger.deletions)

    def place(self, item: tuple[int, Source]) -> Placed:
        """Stores an image's bytes unless they are there. Safe to call from many threads."""
        seen = self._deletions  # before the look
        return Placed(item[1], self._upload(item), seen)

    def register(self, chunk: str, placed: list[Placed]) -> None:
        """The chunk is part of the job. One that an earlier run registered is only compared.

        UsageError when the job has other pictures there; then nothing of the chunk was written over.
        """
        references = [image.reference for image in placed]
        raw = encode_lines(references)
        new = NewChunk(chunk, references[0].index, len(references), hashlib.sha256(raw).hexdigest())
        key = keys.chunk_object(self._job, chunk)
        tries = count(1 if _seen(placed) == _UNKNOWN else 0)

        def enter() -> None:
            deletions = self._look_again(placed) if next(tries) else _seen(placed)
            if chunk not in self._ledger.reserve(self._job, [new]):
                self._store.put(key, raw, "application/x-ndjson")
            self._ledger.register(self._job, [new], deletions)

        self._patient(enter)

    def _look_again(self, placed: list[Placed]) -> int | None:
        """The inputs are stored, once more if need be; how many deletions had begun before that was looked for."""
        if _seen(placed) is None:
            return None
        seen = self._ledger.deletions()
        if seen != _UNKNOWN:
            items = ((image.source, image.reference) for image in placed)
            with closing(ordered(self._upload.again, items, threads=self._threads)) as done:
                deque(done, maxlen=0)
            self._deletions = seen
        return seen


def _seen(placed: list[Placed]) -> int | None:
    """How many deletions had begun before any of the images was looked for; None when none of them can be deleted."""
    seen = {image.deletions for image in placed if image.reference.key.startswith(keys.INPUTS)}
    if not seen:
        return None
    return seen.pop() if len(seen) == 1 else _UNKNOWN
