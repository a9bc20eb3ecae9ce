"""What the page can do: submit pictures, cancel a job, retry its failed images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, Response

from producer.results.retry import retry
from producer.submission.request import Request as Submission
from producer.submission.submit import submit
from producer.web.live.uploads import files, source_of, uploaded
from shared.checks.model_files import check_remote
from shared.checks.options import OPTIONS
from shared.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from producer.services import Services

#: The options of a job that the page's form has.
_FORM_OPTIONS = ("top_k", "method", "colormap")


class Actions:
    """The POST endpoints. They answer in JSON, to the page's script."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def cancel(self, request: Request) -> Response:
        """Cancel the job."""
        return JSONResponse({"done": self._services.ledger.cancel(request.path_params["job"])})

    def retry(self, request: Request) -> Response:
        """Retry the failed images, all or those of `?code=`."""
        codes = request.query_params.getlist("code")
        return JSONResponse({"done": retry(self._services, request.path_params["job"], codes)})

    async def submit(self, request: Request) -> Response:
        """Submit the uploaded pictures as a job; the answer has the address of its page."""
        async with uploaded(request) as form:
            sources = [source_of(file) for file in files(form, "pictures")]
            if not sources:
                raise UsageError("no pictures chosen")
            job = await run_in_threadpool(submit, self._services, sources, _submission(form))
        return JSONResponse({"url": f"/jobs/{job}"}, 201)


def _submission(form: FormData) -> Submission:
    def field(name: str) -> str | None:
        value = form.get(name)
        return value.strip() or None if isinstance(value, str) else None

    texts = {name: field(name) for name in _FORM_OPTIONS}
    options = {name: OPTIONS[name].values.parse(name, text) for name, text in texts.items() if text}
    check_remote(field("model"))
    return Submission(model=field("model"), name=field("name"), options=options)
