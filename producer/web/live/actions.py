"""What the page can do to a job: submit pictures, cancel, run failed images again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, Response

from producer.inputs.source import LazySource, Source
from producer.results import retry as redrive
from producer.submission.submit import Request as Submission
from producer.submission.submit import submit
from shared.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from producer.services import Services

#: Of one upload, all pictures together: they are spooled to this machine's disk.
MAX_UPLOAD_BYTES = 1_000_000_000
MAX_UPLOAD_FILES = 1_000


class Actions:
    """The POST endpoints. They answer in JSON, to the page's script."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def cancel(self, request: Request) -> Response:
        """Stop the job."""
        return JSONResponse({"done": self._services.ledger.cancel(request.path_params["job"])})

    def retry(self, request: Request) -> Response:
        """Queue the failed images again, all or those of `?code=`, and tell the workers."""
        codes = request.query_params.getlist("code")
        return JSONResponse({"done": redrive.retry(self._services, request.path_params["job"], codes)})

    async def submit(self, request: Request) -> Response:
        """The dropped pictures become a job; the answer says where its page is."""
        length = request.headers.get("content-length", "")
        # The server holds a request to the length it announced, so an honest header is enough.
        if not length.isdecimal() or int(length) > MAX_UPLOAD_BYTES:
            return JSONResponse({"error": f"at most {MAX_UPLOAD_BYTES // 10**6:,} MB at once; use `camq submit`"}, 413)
        async with request.form(max_files=MAX_UPLOAD_FILES, max_fields=20) as form:
            sources = _sources(form)
            if not sources:
                raise UsageError("no picture was chosen")
            job = await run_in_threadpool(submit, self._services, sources, _submission(form))
        return JSONResponse({"url": f"/jobs/{job}"}, 201)


def _sources(form: FormData) -> list[Source]:
    files = [item for item in form.getlist("pictures") if isinstance(item, UploadFile) and item.filename]
    return [LazySource(file.filename or "", file.file.read, file.size or 0) for file in files]


def _submission(form: FormData) -> Submission:
    def said(name: str) -> str | None:
        value = form.get(name)
        return value.strip() or None if isinstance(value, str) else None

    top_k = said("top_k")
    if top_k is not None and not top_k.isdecimal():
        raise UsageError("the number of classes must be a number")
    options = {"top_k": int(top_k) if top_k else None, "method": said("method"), "colormap": said("colormap")}
    return Submission(model=said("model"), name=said("name"), options=options)
