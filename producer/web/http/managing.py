"""Change and delete jobs."""

from functools import partial
from typing import Annotated

from litestar import delete, post
from litestar.params import QueryParameter

from producer.results.retry import retry
from producer.retention.delete import remove
from producer.web.http.bearer import NEEDS
from producer.web.http.bodies import Deleted, Done
from producer.web.http.following import JobPath
from producer.web.http.work import Desk
from shared.errors import CODES, UsageError

#: What needs the scope `manage`.
_delete = partial(delete, opt={NEEDS: "manage"}, tags=["Manage"])
_post = partial(post, opt={NEEDS: "manage"}, tags=["Manage"])


@_post("/v1/jobs/{job:str}/cancel", operation_id="cancelJob", status_code=200, summary="Cancel a job")
async def cancel_job(work: Desk, job: JobPath) -> Done:
    """Queued images at once, running ones before their next stage. `done` is false if it had finished."""
    return Done(job=job, done=await work.slow(work.services.ledger.cancel, job))


@_post("/v1/jobs/{job:str}/retry", operation_id="retryJob", status_code=200, summary="Retry a job's failed images")
async def retry_images(
    work: Desk,
    job: JobPath,
    code: Annotated[
        list[str] | None, QueryParameter(description="Retry only images that failed with one of these.")
    ] = None,
) -> Done:
    """`done` is the number of images that are tried again."""
    if unknown := sorted(set(code or ()) - CODES.keys()):
        raise UsageError(f"invalid code {unknown[0][:80]!r}: expected one of {', '.join(sorted(CODES))}")
    return Done(job=job, done=await work.slow(retry, work.services, job, code or ()))


@_delete("/v1/jobs/{job:str}", operation_id="deleteJob", status_code=200, summary="Delete a job")
async def delete_job(work: Desk, job: JobPath) -> Deleted:
    """Its record, results and overlays, for good. A running job is stopped first."""
    done = await work.slow(remove, work.services.ledger, work.services.store, job)
    return Deleted(job=job, objects=done.deleted.objects, bytes=done.deleted.bytes, inputs_left=done.inputs)


MANAGING = (cancel_job, retry_images, delete_job)
