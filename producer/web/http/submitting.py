"""Begin jobs: by address, by upload, and one picture that is waited for."""

import hashlib
import io
import re
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.params import HeaderParameter, JSONBody
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request as FormRequest

from producer.inputs.manifest import Manifest
from producer.inputs.notes import NOTHING, Notes, Row
from producer.inputs.source import Source
from producer.results.records import record_at
from producer.submission.request import new_job_id
from producer.submission.submit import submit
from producer.web.http import V1
from producer.web.http.addresses import sources
from producer.web.http.bearer import NEEDS
from producer.web.http.bodies import (
    ExplainForm,
    Picture,
    Submission,
    Submitted,
    UploadForm,
    form_fields,
    job_url,
    linked,
    request_of,
)
from producer.web.http.words import unknown_field
from producer.web.http.work import Desk, Work
from producer.web.live.uploads import files, source_of, uploaded
from shared.contract import CALL_PREFIX, ImageRecord, ImageState
from shared.errors import ImageError, TakenError, UsageError

#: It is read into memory; a line has 4 KB at most, and usually a hundredth of that.
_MOST_MANIFEST_BYTES = 50_000_000
_FORM = "multipart/form-data"
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,5})(?:$|[,;\s])")
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=200,
        required=False,
        description="A word of yours for this request. Repeated with the same word, the request begins no second job.",
    ),
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        max_length=200,
        required=False,
        description="`respond-async` answers at once with the job's address, `wait=10` after ten seconds at most.",
    ),
]


#: What needs the scope `submit`.
_post = partial(post, opt={NEEDS: "submit"}, tags=["Submit"])


@_post("/v1/jobs", operation_id="submitAddresses", status_code=201, summary="Submit pictures by their addresses")
async def addresses(
    request: Request[Any, Any, Any], work: Desk, data: JSONBody[Submission], key: Key = None
) -> Response[Submitted]:
    """Begin a job of pictures in storage, which are read in place."""
    rows = [Row(one.source, Notes(one.id)) if isinstance(one, Picture) else Row(one, NOTHING) for one in data.images]
    return _submitted(await work.slow(_begin, work, data, rows, {}, _job_id(request, key)))


@_post("/v1/uploads", operation_id="submitUploads", status_code=201, summary="Submit uploaded pictures, or a manifest")
async def uploads(request: Request[Any, Any, Any], work: Desk, key: Key = None) -> Response[Submitted]:
    """Begin a job of the pictures in a form, or of those that its manifest names."""
    async with uploaded(_form(request)) as form:
        given = form_fields(_texts(form, {"pictures", "manifest"}, UploadForm), UploadForm)
        return _submitted(await work.slow(_begin_upload, work, given, form, _job_id(request, key)))


@_post("/v1/explain", operation_id="explain", status_code=200, summary="Explain one picture, and wait for it")
async def explain(
    request: Request[Any, Any, Any], work: Desk, key: Key = None, prefer: Prefer = None
) -> Response[ImageRecord | Submitted]:
    """The picture's result, or the job's address when it is preferred or the wait is over.

    The job is cancelled when the client leaves, unless an Idempotency-Key was sent.
    """
    asked = _form(request)
    async with uploaded(asked) as form:
        given = form_fields(_texts(form, {"picture"}, ExplainForm), ExplainForm)
        job = await work.slow(_begin_one, work, given, form, f"{CALL_PREFIX}{_job_id(request, key) or new_job_id()}")
    wait = 0.0 if prefer and "respond-async" in prefer.lower() else work.services.settings.serve_wait_s
    if prefer and (wished := _WAIT.search(prefer)):
        wait = min(wait, float(wished[1]))
    final, left = await work.finished(job, asked, wait) if wait else (None, False)
    if left and key is None:
        await work.slow(work.services.ledger.cancel, job)
    if final is None:
        return Response(Submitted(job=job, url=job_url(job)), status_code=202, headers={"Location": job_url(job)})
    record = await work.slow(record_at, work.services.ledger, work.services.store, job, 0)
    if record.error:
        raise ImageError(record.error.code, record.error.message)
    if record.state is not ImageState.SUCCEEDED:
        raise TakenError(f"job {job} was cancelled")
    return Response(linked(job, record), headers={"Location": job_url(job)})


SUBMITTING = (
    addresses,
    uploads,
    explain,
)


def _begin(work: Work, given: Any, rows: Iterable[Row], named: dict[str, Source], job_id: str | None) -> str:
    """The job's id."""
    request = request_of(given, work.services.settings, job_id=job_id)
    return submit(work.services, sources(work.services, rows, named), request)


def _begin_one(work: Work, given: Any, form: FormData, job_id: str) -> str:
    rows, named = _one(form)
    request = request_of(given, work.services.settings, job_id=job_id)
    pictures = sources(work.services, rows, named)
    if len(pictures) > 1:
        raise UsageError(f"expected one picture, found {len(pictures)}: use {V1}/uploads or {V1}/jobs")
    return submit(work.services, pictures, request)


def _begin_upload(work: Work, given: Any, form: FormData, job_id: str | None) -> str:
    rows, named = _rows(form)
    return _begin(work, given, rows, named, job_id)


def _submitted(job: str) -> Response[Submitted]:
    return Response(Submitted(job=job, url=job_url(job)), headers={"Location": job_url(job)})


def _job_id(request: Request[Any, Any, Any], key: str | None) -> str | None:
    """The same job for the same key of the same token: the ledger then knows the request, and refuses another."""
    if key is None:
        return None
    return f"key-{hashlib.sha256(f'{request.auth.id} {key}'.encode()).hexdigest()[:24]}"


def _form(request: Request[Any, Any, Any]) -> FormRequest:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise HTTPException(415, f"expected a form as {_FORM}, such as `curl -F`, but found {kind[:80]!r}")
    return FormRequest(request.scope, request.receive)  # type: ignore[arg-type]


def _texts(form: FormData, file_fields: set[str], kind: Any) -> dict[str, list[str]]:
    """The fields that are text. UsageError for a file in their place, or text in a file's."""
    found: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str) and name in file_fields:
            raise UsageError(f"invalid {name}: expected a file with a name, such as `-F {name}=@cat.jpg`")
        if isinstance(value, str):
            found.setdefault(name, []).append(value)
        elif name not in kind.__struct_fields__:
            raise UsageError(unknown_field(name, kind.__struct_fields__))
        elif name not in file_fields:
            raise UsageError(f"invalid {name}: expected text, found a file; files are {', '.join(sorted(file_fields))}")
    return found


def _rows(form: FormData) -> tuple[Iterable[Row], dict[str, Source]]:
    """What is to be explained, and the uploads by name."""
    pictures, manifests = [source_of(file) for file in files(form, "pictures")], files(form, "manifest")
    if not manifests:
        # By number: two of them may have one name.
        named: dict[str, Source] = {f"\0{number}": picture for number, picture in enumerate(pictures)}
        return [Row(name, NOTHING) for name in named], named
    if len(manifests) > 1:
        raise UsageError("invalid manifest: expected one file")
    named = {picture.name: picture for picture in pictures}
    if len(named) < len(pictures):
        raise UsageError("invalid pictures: with a manifest, each needs a file name of its own")
    data = source_of(manifests[0]).read(_MOST_MANIFEST_BYTES)
    manifest = Manifest(manifests[0].filename or "manifest", lambda: io.BytesIO(data))
    manifest.check()
    return manifest, named


def _one(form: FormData) -> tuple[list[Row], dict[str, Source]]:
    pictures, source = files(form, "picture"), form.get("source")
    if len(pictures) + (source is not None) != 1:
        raise UsageError("expected one picture: a file in the field `picture`, or an address in the field `source`")
    if pictures:
        return [Row("\0", NOTHING)], {"\0": source_of(pictures[0])}
    return [Row(source, NOTHING)], {}
