"""The pages, the parts of them that renew themselves, and the pictures in them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from producer.results.originals import sources
from producer.web.kit.cards import fit
from producer.web.kit.failures import Failures, group, named
from producer.web.kit.page import render
from producer.web.kit.previews import AbandonedError
from producer.web.kit.summary import summarise
from producer.web.kit.thumbnails import CONTENT_TYPE
from producer.web.live import LIVE
from producer.web.live.analyses import Analyses
from producer.web.live.pictures import MOST, Pictures
from producer.web.live.uploads import MAX_UPLOAD_BYTES, MAX_UPLOAD_FILES
from shared.checks.options import OPTIONS
from shared.contract import WorkerInfo, encode
from shared.errors import UsageError
from shared.ledger.backlog import Backlog as Work
from shared.ledger.backlog import read_backlog

if TYPE_CHECKING:
    from starlette.requests import Request

    from producer.services import Services
    from shared.contract import JobStatus

#: A picture of a job changes only when the job is removed and its id used again.
_KEPT = {"Cache-Control": "private, max-age=300"}
#: Threads that wait for thumbnails, and how often they look whether the browser still does.
_WAITING, _LOOK_S = 8, 0.2
#: Jobs whose names of failed images are remembered.
_JOBS_KEPT = 20
#: Newest jobs that are listed, and how many of them before the reader asks for more.
MOST_JOBS, JOBS_AT_ONCE = 100, 20


class Pages:
    """The GET endpoints. With `?live` a page answers with the part of it that changes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._pictures = Pictures(services)
        self._failed = FailedNames(services)
        self._analyses = Analyses(services)
        #: Those who wait for thumbnails leave threads to all others.
        self._few = asyncio.Semaphore(_WAITING)
        #: Those who wait for a summary hold no thread at all.
        self._one = asyncio.Semaphore(1)

    def close(self) -> None:
        """Ends what makes thumbnails."""
        self._pictures.close()

    def overview(self, request: Request) -> Response:
        """Jobs, workers, backlog, and where to drop pictures."""
        ledger = self._services.ledger
        jobs, workers, models = ledger.jobs(MOST_JOBS, calls=False), ledger.workers(), ledger.models()
        live = [model for model, served in models.items() if served]
        cards = [card for card in map(ledger.card, live) if card]
        return _page(
            request,
            "overview",
            jobs=jobs,
            workers=workers,
            jobs_at_once=JOBS_AT_ONCE,
            most_jobs=MOST_JOBS,
            backlog=backlog(read_backlog(ledger.scripts).values(), workers),
            most_files=MAX_UPLOAD_FILES,
            most_bytes=MAX_UPLOAD_BYTES,
            models=live,
            options=OPTIONS,
            methods=sorted(
                {method for card in cards for method in card.methods}, key=OPTIONS["method"].values.choices.index
            ),
        )

    def job(self, request: Request) -> Response:
        """One job: how far it is, what failed, its pictures."""
        job = request.path_params["job"]
        ledger = self._services.ledger
        status, options = ledger.status(job), ledger.options(job)
        model = ledger.card(status.model)
        return _page(
            request,
            "job",
            summary=summarise(status, options, served=ledger.models().get(status.model, False), model=model),
            failures=self._failed.of(status),
            shown=min(status.total, MOST),
            answers=None,
            # Overlays come as they were stored.
            gallery={
                "at": f"/jobs/{job}",
                "most": MOST,
                "maps": options.keep_maps,
                "fit": fit(options, model.preprocessing if model else None),
                "full": True,
            },
        )

    def images(self, request: Request) -> Response:
        """A block of the gallery's data, from the image `?from=` on."""
        first = request.query_params.get("from", "0")
        if not re.fullmatch(r"[0-9]{1,9}", first):
            raise UsageError(f"invalid from {first!r}: expected the index of an image")
        block = self._pictures.block(request.path_params["job"], int(first))
        return Response(encode(block), media_type="application/json")

    async def answers(self, request: Request) -> Response:
        """Was it right, and where did the network look: a part of the job's page that takes a while."""
        status = await run_in_threadpool(self._services.ledger.status, request.path_params["job"])
        if self._analyses.at_hand(status):  # whatever is being read for another job
            return await run_in_threadpool(self._answers, status)
        async with self._one:
            if await request.is_disconnected():
                return Response(status_code=204)
            return await run_in_threadpool(self._answers, status)

    def _answers(self, status: JobStatus) -> Response:
        return HTMLResponse(render("answers.html", package=LIVE, answers=self._analyses.of(status)))

    async def original(self, request: Request) -> Response:
        """A thumbnail, never the bytes that somebody uploaded. It is not made for a connection that is closed."""
        where = request.path_params
        gone = Event()
        watch = asyncio.create_task(_watch(request, gone))
        try:
            async with self._few:
                data = await run_in_threadpool(
                    self._pictures.original, where["job"], where["index"], lambda: not gone.is_set()
                )
        except AbandonedError:
            data = None
        finally:
            watch.cancel()
        # No content is an answer, not an error: the browser shows the card without a preview, and logs nothing.
        return _picture(data, CONTENT_TYPE) if data else Response(status_code=204)

    def overlay(self, request: Request) -> Response:
        """An overlay of one rank."""
        where = request.path_params
        return _picture(*self._pictures.overlay(where["job"], where["index"], where["rank"]))


async def _watch(request: Request, gone: Event) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(_LOOK_S)
    gone.set()


def _page(request: Request, name: str, **values: Any) -> Response:
    template = f"{name}_live.html" if "live" in request.query_params else f"{name}.html"
    return HTMLResponse(render(template, package=LIVE, nonce=request.state.nonce, **values))


def _picture(data: bytes, kind: str) -> Response:
    return Response(data, media_type=kind, headers=_KEPT)


class FailedNames:
    """Reads the names of failed images once. Safe to call from many threads: at worst two read the same name."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # The moment too: a removed job's id may be given to another one.
        self._known: dict[tuple[str, str], dict[int, str]] = {}

    def of(self, status: JobStatus) -> Failures:
        """The failures of the job at this moment, its names read as far as they were not known."""
        ledger = self._services.ledger
        errors = ledger.failures(status.job) if status.failed else {}
        known = self._known.pop((status.job, status.created_at), {})
        wanted = named(errors)
        missing = [index for index in wanted if index not in known]
        if missing:
            known = known | sources(ledger, self._services.store, status.job, missing)
        while len(self._known) >= _JOBS_KEPT:
            self._known.pop(next(iter(self._known)), None)
        self._known[status.job, status.created_at] = known
        return group(errors, {index: known[index] for index in wanted if index in known}, status.failed)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Images that wait or run, and the seconds they take at the workers' present rate (None: unknown)."""

    images: int
    rate: float
    seconds: float | None


def backlog(work: Iterable[Work], workers: Sequence[WorkerInfo]) -> Backlog:
    """The backlog of all jobs together, however many there are."""
    images = sum(one.queued + one.running for one in work)
    rate = sum(worker.images_per_second for worker in workers)
    return Backlog(images, rate, images / rate if rate else None if images else 0.0)
