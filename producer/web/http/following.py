"""Look at jobs: list, status, events, results and overlays."""

import hashlib
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from functools import partial
from typing import Annotated
from urllib.parse import quote

from litestar import Response, get
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage, Stream
from litestar.status_codes import HTTP_304_NOT_MODIFIED, HTTP_307_TEMPORARY_REDIRECT

from producer.results.records import record_at, records, records_from
from producer.web.http import V1
from producer.web.http.bearer import NEEDS
from producer.web.http.bodies import JobsPage, ResultsPage, job_url, linked
from producer.web.http.words import JOB_ID
from producer.web.http.work import Desk, Work
from producer.web.live.pictures import overlay_of
from shared.contract import ImageRecord, JobStatus, encode
from shared.errors import NotFoundError

JobPath = Annotated[str, PathParameter(pattern=JOB_ID, max_length=64, description="A job's id.")]
Index = Annotated[int, PathParameter(ge=0, lt=10**9, description="The image's place in the job, from 0.")]
Rank = Annotated[int, PathParameter(ge=1, lt=10**9, description="The class's rank, from 1.")]
Match = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match", required=False, max_length=1000, description="An ETag from an earlier answer."
    ),
]
_MOST_JOBS, _MOST_RESULTS = 200, 1000
#: A link is for the one who asked, now.
_LINK_S = 300
#: Lines of results are sent in blocks of about this many bytes.
_BLOCK = 1 << 18
#: An answer with an ETag may be kept, and is asked for again each time.
_ASK_AGAIN = "private, no-cache"


#: What needs the scope `read`.
_get = partial(get, opt={NEEDS: "read"}, tags=["Follow"])


@_get("/v1/jobs", operation_id="listJobs", summary="List jobs, the newest first", sync_to_thread=True)
def jobs(
    work: Desk,
    limit: Annotated[int, QueryParameter(ge=1, le=_MOST_JOBS, description="Jobs on one page.")] = 20,
    tag: Annotated[list[str] | None, QueryParameter(description="List only jobs with all of these tags.")] = None,
    before: Annotated[JobPath | None, QueryParameter(description="List only jobs older than this one.")] = None,
) -> JobsPage:
    """A page of jobs."""
    found = work.services.ledger.jobs(limit, tag or (), before=before)
    more = f"{V1}/jobs?limit={limit}&before={found[-1].job}" if len(found) == limit else None
    return JobsPage(jobs=tuple(found), next=more and more + "".join(f"&tag={quote(one, safe='')}" for one in tag or ()))


@_get("/v1/jobs/{job:str}", operation_id="jobStatus", summary="Show the state of a job", sync_to_thread=True)
def status(work: Desk, job: JobPath) -> JobStatus:
    """Images done and failed, rate, time left."""
    return work.services.ledger.status(job)


@_get(
    "/v1/jobs/{job:str}/events",
    operation_id="jobEvents",
    summary="Follow a job until it has finished (server-sent events)",
)
async def events(work: Desk, job: JobPath) -> ServerSentEvent:
    """An event `status` now and whenever the job moves; each has a status as its data, the last one is final."""
    statuses = work.news.statuses(job)
    first = await anext(statuses)  # raises what is wrong while a status code can say so
    return ServerSentEvent(_events(first, statuses))


@_get("/v1/jobs/{job:str}/results", operation_id="jobResults", summary="Read results, page by page")
async def results(
    work: Desk,
    job: JobPath,
    first: Annotated[int, QueryParameter(ge=0, lt=10**9, description="Index of the first image.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=_MOST_RESULTS, description="Images on one page.")] = 100,
    match: Match = None,
) -> Response[ResultsPage | None]:
    """Records in the order of their index. Those of a finished job have an ETag."""
    headers, same = await _etag(work, job, match, f"{first} {limit}")
    if same:
        return Response(None, status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    services = work.services
    found = await work.slow(lambda: list(records_from(services.ledger, services.store, job, first, limit)))
    more = f"{job_url(job)}/results?first={first + limit}&limit={limit}" if len(found) == limit else None
    return Response(ResultsPage(results=tuple(linked(job, one) for one in found), next=more), headers=headers)


@_get(
    "/v1/jobs/{job:str}/results.jsonl",
    operation_id="jobResultLines",
    summary="Read all results, one per line",
    media_type="application/jsonl",
)
async def lines(work: Desk, job: JobPath, match: Match = None) -> Response[None] | Stream:
    """JSON lines in the order of their index, while they are read. Those of a finished job have an ETag."""
    headers, same = await _etag(work, job, match, "lines")
    if same:
        return Response(None, status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return Stream(_blocks(work, job), media_type="application/jsonl", headers=headers)


@_get(
    "/v1/jobs/{job:str}/images/{index:int}",
    operation_id="imageResult",
    summary="Read one image's result",
    sync_to_thread=True,
)
def image(work: Desk, job: JobPath, index: Index) -> ImageRecord:
    """Its record."""
    services = work.services
    if index >= services.ledger.status(job).total:
        raise NotFoundError(f"job {job} has no image {index}")
    return linked(job, record_at(services.ledger, services.store, job, index))


@_get(
    "/v1/jobs/{job:str}/images/{index:int}/overlays/{rank:int}",
    operation_id="overlay",
    summary="Read one overlay",
    media_type="image/jpeg",
)
async def overlay(
    work: Desk,
    job: JobPath,
    index: Index,
    rank: Rank,
    link: Annotated[
        bool, QueryParameter(description="Redirect to a link into storage, which is valid a short time.")
    ] = False,
) -> Response[bytes]:
    """The picture as it was stored."""
    key, kind = await work.slow(overlay_of, work.services.ledger, job, index, rank)
    store = work.services.store
    if link:
        if await work.slow(store.stat, key) is None:
            raise NotFoundError("there is no such overlay")
        location = {"Location": store.presigned_get(key, _LINK_S)}
        return Response(b"", status_code=HTTP_307_TEMPORARY_REDIRECT, headers=location)
    data = await work.slow(store.get, key, work.services.settings.max_image_bytes)
    return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=300"})


FOLLOWING = (
    jobs,
    status,
    events,
    results,
    lines,
    image,
    overlay,
)


async def _etag(work: Work, job: str, match: str | None, what: str) -> tuple[dict[str, str], bool]:
    """Headers of an answer about a finished job, and whether the client has that answer."""
    status = await work.slow(work.services.ledger.status, job)
    if not status.state.finished:
        return {}, False
    # A retry changes the end; another job of this id began at another time.
    content = f"{status.created_at} {status.finished_at} {status.succeeded} {status.failed} {what}"
    tag = f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'
    known = {one.strip().removeprefix("W/") for one in (match or "").split(",")}
    return {"ETag": tag, "Cache-Control": _ASK_AGAIN}, bool(known & {tag, "*"})


async def _events(first: JobStatus, later: AsyncGenerator[JobStatus, None]) -> AsyncGenerator[ServerSentEventMessage]:
    yield _event(first)
    async with aclosing(later):
        async for status in later:
            yield _event(status)


def _event(status: JobStatus) -> ServerSentEventMessage:
    return ServerSentEventMessage(data=encode(status).decode(), event="status")


async def _blocks(work: Work, job: str) -> AsyncGenerator[bytes, None]:
    """The lines in blocks; reading ends when the client leaves."""
    with closing(_lines(work, job)) as lines:
        while block := await work.slow(next, lines, b""):
            yield block


def _lines(work: Work, job: str) -> Generator[bytes, None, None]:
    services = work.services
    block = bytearray()
    for record in records(services.ledger, services.store, job, threads=services.settings.io_threads):
        block += encode(linked(job, record)) + b"\n"
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)
