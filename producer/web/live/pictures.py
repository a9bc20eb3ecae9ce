"""Pictures of a job for the browser: originals made anew, overlays as its workers stored them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from producer.results.originals import first_page, read, references
from producer.results.records import records
from producer.web.kit.cards import card
from producer.web.kit.previews import Previews
from shared import keys
from shared.contract import EXTENSIONS, ImageRecord, ImageRef
from shared.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.services import Services
    from shared.ledger import RedisLedger

#: Images of a job that the live gallery shows; `camq report` shows more.
MOST = 2_000
#: Jobs whose references are remembered, and thumbnails that are.
_JOBS_KEPT, _THUMBNAILS_KEPT = 20, 1_000
_SIDE = 512


class Pictures:
    """Reads what a page of one job needs. Safe to call from many threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._previews = Previews()
        self._known: dict[str, dict[int, ImageRef]] = {}
        #: The newest thumbnails by key, the oldest first; None is an answer as well.
        self._kept: dict[str, bytes | None] = {}

    def cards(self, job: str) -> list[dict[str, Any]]:
        """The first images of the job as the gallery's script takes them. UnknownJobError when it is not there."""
        services = self._services
        self._learn(job)  # anew: the job may have grown, or its id may have been given to another one
        found = records(services.ledger, services.store, job, threads=services.settings.io_threads)
        return [self._card(job, record) for record in islice(found, MOST)]

    def close(self) -> None:
        """Ends what makes thumbnails."""
        self._previews.close()

    def original(self, job: str, index: int, wanted: Callable[[], bool]) -> bytes | None:
        """A thumbnail of the original, None when it cannot be shown. NotFoundError when there is no such image.

        AbandonedError when it is not `wanted` any more.
        """
        reference = self._known.get(job, {}).get(index) or self._learn(job).get(index)
        if reference is None:
            raise NotFoundError("there is no such image")
        return self._thumbnail(reference.key, wanted) if first_page(reference) else None

    def overlay(self, job: str, index: int, rank: int) -> tuple[bytes, str]:
        """An overlay and its content type. NotFoundError when there is none."""
        key, kind = overlay_of(self._services.ledger, job, index, rank)
        return self._services.store.get(key, self._services.settings.max_image_bytes), kind

    def _card(self, job: str, record: ImageRecord) -> dict[str, Any]:
        at = f"/jobs/{job}/images/{record.index}"
        # What failed or waits may still have a picture to show; the browser asks, and is told if not.
        overlays = [line.overlay and f"{at}/overlays/{line.rank}" for line in record.predictions]
        return card(record, f"{at}/original", overlays)

    def _learn(self, job: str) -> dict[int, ImageRef]:
        """Read the references of the job's first images; while it is being submitted there may be more later."""
        found = references(self._services.ledger, self._services.store, job)
        known = {reference.index: reference for reference in islice(found, MOST)}
        while len(self._known) >= _JOBS_KEPT:
            self._known.pop(next(iter(self._known)), None)
        self._known[job] = known
        return known

    def _thumbnail(self, key: str, wanted: Callable[[], bool]) -> bytes | None:
        if key in self._kept:
            return self._kept[key]
        services = self._services
        small = self._previews.make(
            key, lambda: read(services.store, key, services.settings.max_image_bytes), _SIDE, wanted
        )
        while len(self._kept) >= _THUMBNAILS_KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        self._kept[key] = small
        return small


def overlay_of(ledger: RedisLedger, job: str, index: int, rank: int) -> tuple[str, str]:
    """Where an overlay is, if there is one, and its content type."""
    options = ledger.options(job)
    return (
        keys.overlay_object(job, index, rank, EXTENSIONS[options.format], options.output or None),
        f"image/{options.format}",
    )
