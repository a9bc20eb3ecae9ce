"""Pictures of a job for the browser: originals encoded again, overlays as its workers stored them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.results.originals import DAMAGED, previewed, read
from producer.results.records import records_from
from producer.web.kit.cards import card
from producer.web.kit.packed import Packed
from producer.web.kit.previews import Previews
from shared import keys
from shared.contract import EXTENSIONS, ImageRecord, ImageRef
from shared.errors import NotFoundError
from shared.ledger.chunks import image_at
from shared.storage.job_objects import read_references

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.services import Services
    from shared.contract import ModelCard, Options
    from shared.contract.preview import PreviewRequest
    from shared.ledger import RedisLedger

#: Images of a job that the live gallery shows; it reads few at first, so that something is there to look at.
MOST, FIRST, BLOCK = 100_000, 2_000, 10_000
#: Jobs whose options are remembered, chunks whose references are, and thumbnails.
_JOBS_KEPT, _CHUNKS_KEPT, _THUMBNAILS_KEPT = 100, 100, 1_000
_SIDE = 512


class Pictures:
    """Reads what a page of one job needs. Safe to call from many threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._previews = Previews()
        #: By job, chunk and digest: a removed job's id may be given to another one.
        self._known: dict[tuple[str, str, str], dict[int, ImageRef]] = {}
        #: By job and when it began.
        self._jobs: dict[tuple[str, str], tuple[Options, ModelCard | None]] = {}
        #: The newest thumbnails by key and request, the oldest first; None is an answer as well.
        self._kept: dict[str, bytes | None] = {}

    def block(self, job: str, first: int) -> dict[str, Any]:
        """Images of the job from this one on, as the gallery's script takes them; those from `next` on are not among
        them, and `settled` says that none of them will change. UnknownJobError when the job is not there."""
        services, most = self._services, max(0, min(BLOCK if first else FIRST, MOST - first))
        at = f"/jobs/{job}/images/{{index}}"
        found = Packed(f"{at}/original", f"{at}/overlays/{{rank}}")
        threads = services.settings.io_threads
        for record in records_from(services.ledger, services.store, job, first, most, threads=threads):
            found.add(self._card(job, record))
        return {**found.data(), "next": first + most, "settled": found.settled and len(found) == most}

    def close(self) -> None:
        """Ends what makes thumbnails."""
        self._previews.close()

    def original(self, job: str, index: int, wanted: Callable[[], bool]) -> bytes | None:
        """A thumbnail of the original, None when it cannot be shown. NotFoundError when there is no such image.

        AbandonedError when it is not `wanted` any more.
        """
        reference = self._reference(job, index)
        request = previewed(reference, *self._read_as(job), _SIDE)
        return self._thumbnail(reference.key, request, wanted)

    def overlay(self, job: str, index: int, rank: int) -> tuple[bytes, str]:
        """An overlay and its content type. NotFoundError when there is none."""
        key, kind = overlay_of(self._services.ledger, job, index, rank)
        return self._services.store.get(key, self._services.settings.max_image_bytes), kind

    def _card(self, job: str, record: ImageRecord) -> dict[str, Any]:
        at = f"/jobs/{job}/images/{record.index}"
        # What failed or waits may still have a picture to show; the browser asks, and gets 404 if not.
        overlays = [line.overlay and f"{at}/overlays/{line.rank}" for line in record.predictions]
        return card(record, f"{at}/original", overlays)

    def _read_as(self, job: str) -> tuple[Options, ModelCard | None]:
        """What says how the job's pictures are read; asked for once."""
        ledger = self._services.ledger
        status = ledger.status(job)
        name = job, status.created_at
        known = self._jobs.get(name)
        if known is None:
            known = ledger.options(job), ledger.card(status.model)
            if known[1] is None:  # a worker may still say it
                return known
            while len(self._jobs) >= _JOBS_KEPT:
                self._jobs.pop(next(iter(self._jobs)), None)
            self._jobs[name] = known
        return known

    def _reference(self, job: str, index: int) -> ImageRef:
        found = image_at(self._services.ledger, job, index)
        if found is None:
            raise NotFoundError("there is no such image")
        name = job, found.chunk, found.digest
        known = self._known.get(name)
        if known is None:
            try:
                known = {each.index: each for each in read_references(self._services.store, *name)}
            except DAMAGED as error:
                raise NotFoundError(str(error)) from None
            while len(self._known) >= _CHUNKS_KEPT:
                self._known.pop(next(iter(self._known)), None)
            self._known[name] = known
        if index not in known:
            raise NotFoundError("the record of this image is damaged")
        return known[index]

    def _thumbnail(self, key: str, request: PreviewRequest, wanted: Callable[[], bool]) -> bytes | None:
        name = f"{key} {request}"
        if name in self._kept:
            return self._kept[name]
        services = self._services
        small = self._previews.make(
            name, lambda: read(services.store, key, services.settings.max_image_bytes), request, wanted
        )
        while len(self._kept) >= _THUMBNAILS_KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        self._kept[name] = small
        return small


def overlay_of(ledger: RedisLedger, job: str, index: int, rank: int) -> tuple[str, str]:
    """Where an overlay is, if there is one, and its content type."""
    options = ledger.options(job)
    return (
        keys.overlay_object(job, index, rank, EXTENSIONS[options.format], options.output or None),
        f"image/{options.format}",
    )
