"""Pictures of a job for the browser: originals made anew, overlays as its workers stored them."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from producer.results.records import records
from producer.web.kit.cards import card
from producer.web.kit.originals import read, references
from producer.web.kit.thumbnails import thumbnail
from shared import keys
from shared.contract import EXTENSIONS, ImageRecord, ImageRef
from shared.errors import NotFoundError

if TYPE_CHECKING:
    from producer.services import Services
    from shared.ledger import RedisLedger

#: Images of a job that the live gallery shows; `camq report` shows more.
MOST = 2_000
#: Jobs whose references are remembered, and thumbnails that are.
_JOBS_KEPT, _THUMBNAILS_KEPT = 20, 1_000
_SIDE = 512
#: Large pictures decoded at once: a browser asks for sixty of them in one breath.
_DECODING = 3


class Pictures:
    """Reads what a page of one job needs. Safe to call from many threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._decoding = Semaphore(_DECODING)
        self._known: dict[str, dict[int, ImageRef]] = {}
        self._thumbnail = lru_cache(maxsize=_THUMBNAILS_KEPT)(self._make_thumbnail)

    def cards(self, job: str) -> list[dict[str, Any]]:
        """The first images of the job as the gallery's script takes them. UnknownJobError when it is not there."""
        services = self._services
        self._learn(job)  # anew: the job may have grown, or its id may have been given to another one
        found = records(services.ledger, services.store, job, threads=services.settings.io_threads)
        return [self._card(job, record) for record in islice(found, MOST)]

    def original(self, job: str, index: int) -> bytes | None:
        """A thumbnail of the original, None when it cannot be shown. NotFoundError when there is no such image."""
        reference = self._known.get(job, {}).get(index) or self._learn(job).get(index)
        if reference is None:
            raise NotFoundError("there is no such image")
        return self._thumbnail(reference.key)

    def overlay(self, job: str, index: int, rank: int) -> tuple[bytes, str]:
        """An overlay and its content type. NotFoundError when there is none."""
        key, kind = overlay_of(self._services.ledger, job, index, rank)
        return self._services.store.get(key, self._services.settings.max_image_bytes), kind

    def _card(self, job: str, record: ImageRecord) -> dict[str, Any]:
        at = f"/jobs/{job}/images/{record.index}"
        # What failed or waits may still have a picture to show; the browser asks, and is told if not.
        return card(record, f"{at}/original", [f"{at}/overlays/{line.rank}" for line in record.predictions])

    def _learn(self, job: str) -> dict[int, ImageRef]:
        """Read the references of the job's first images; while it is being submitted there may be more later."""
        found = references(self._services.ledger, self._services.store, job)
        known = {reference.index: reference for reference in islice(found, MOST)}
        while len(self._known) >= _JOBS_KEPT:
            self._known.pop(next(iter(self._known)), None)
        self._known[job] = known
        return known

    def _make_thumbnail(self, key: str) -> bytes | None:
        data = read(self._services.store, key, self._services.settings.max_image_bytes)
        with self._decoding:
            return thumbnail(data, _SIDE) if data else None


def overlay_of(ledger: RedisLedger, job: str, index: int, rank: int) -> tuple[str, str]:
    """Where an overlay is, if there is one, and its content type."""
    options = ledger.options(job)
    return (
        keys.overlay_object(job, index, rank, EXTENSIONS[options.format], options.output or None),
        f"image/{options.format}",
    )
