"""The API as OpenAPI, and as a page for people. Both are for anybody: they say nothing of what is on the server."""

from functools import lru_cache
from typing import Any

import msgspec
from litestar import Controller, Litestar, MediaType, Request, Response, get

from producer.web.http import HTTP, V1
from producer.web.http.bodies import (
    Deleted,
    Done,
    ExplainForm,
    JobsPage,
    Model,
    ResultsPage,
    Submission,
    Submitted,
    UploadForm,
)
from producer.web.http.problems import CONTENT_TYPE, Problem
from producer.web.kit.page import render
from shared.contract import ImageRecord, JobStatus, ModelCard, WorkerInfo

#: Where bodies are forms, which the routes read themselves.
_FORMS = {f"{V1}/uploads": UploadForm, f"{V1}/explain": ExplainForm}
#: Litestar's own schemas lose a minimum of 0 and allow anything in a tuple, so msgspec describes its types itself.
_TYPES = [Problem, *_FORMS.values(), Submission, Submitted, JobStatus, JobsPage, ImageRecord, ResultsPage]
_TYPES += [Done, Deleted, Model, ModelCard, WorkerInfo]
_ABOUT = (
    "Submit pictures, follow jobs, read results. Each request carries `Authorization: Bearer TOKEN`; `camq token"
    " create` makes tokens. The scope `read` looks; `submit` also begins jobs; `manage` also cancels, retries and"
    " deletes."
)
_REF = "#/components/schemas/{name}"
_JOB = f"{V1}/jobs/{{job}}"
_SAME = {"304": {"description": "The client's answer with this ETag is still right."}}


def _as(kind: str, words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {kind: {"schema": schema}}}


_TEXT, _BYTES = {"type": "string"}, {"type": "string", "format": "binary"}
#: Answers that the routes' types do not show.
_MORE: dict[str, dict[str, Any]] = {
    f"{V1}/explain": {
        "200": _as("application/json", "The picture's result.", {"$ref": _REF.format(name="ImageRecord")}),
        "202": _as("application/json", "The job, which goes on.", {"$ref": _REF.format(name="Submitted")}),
    },
    f"{_JOB}/events": {
        "200": {"description": "Events `status`, each with a JobStatus.", "content": {"text/event-stream": {}}}
    },
    f"{_JOB}/results": {
        "200": _as("application/json", "A page of records.", {"$ref": _REF.format(name="ResultsPage")}),
        **_SAME,
    },
    f"{_JOB}/results.jsonl": {"200": _as("application/jsonl", "One record per line.", _TEXT), **_SAME},
    f"{_JOB}/images/{{index}}/overlays/{{rank}}": {
        "200": {
            "description": "The picture.",
            "content": {f"image/{kind}": {"schema": _BYTES} for kind in ("jpeg", "webp", "png")},
        },
        "307": {"description": "Where the picture is, with `link=true`."},
    },
}


class Description(Controller):
    """What needs no token."""

    path = V1
    include_in_schema = False

    @get("/openapi.json", sync_to_thread=False)
    def document(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The OpenAPI document."""
        return Response(msgspec.json.encode(describe(request.app)), media_type=MediaType.JSON)

    @get("/docs", sync_to_thread=False)
    def page(self, request: Request[Any, Any, Any]) -> Response[str]:
        """The same document as a page."""
        nonce = request.scope["state"].get("nonce")
        return Response(
            render("api.html", package=HTTP, nonce=nonce, api=describe(request.app)), media_type=MediaType.HTML
        )


@lru_cache(maxsize=1)
def describe(app: Litestar) -> dict[str, Any]:
    """The OpenAPI document: routes and parameters by Litestar, types by msgspec, forms, problems and tokens by us."""
    found: dict[str, Any] = app.openapi_schema.to_schema()
    found["info"] |= {"description": _ABOUT, "license": {"name": "MIT"}}
    roots, schemas = msgspec.json.schema_components(_TYPES, ref_template=_REF)
    found["components"] = {
        "schemas": schemas,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    found["security"] = [{"token": []}]
    failed = {"default": _as(CONTENT_TYPE, "What is wrong.", roots[0])}
    for path, operations in found["paths"].items():
        for operation in operations.values():
            usual = {status: answer for status, answer in operation["responses"].items() if status < "400"}
            operation["responses"] = usual | _MORE.get(path, {}) | failed
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
        if path in _FORMS:
            body = {"multipart/form-data": {"schema": roots[1 + list(_FORMS).index(path)]}}
            operations["post"]["requestBody"] = {"required": True, "content": body}
    return found


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is not sent is absent; HTTP has no null."""
    kinds = [kind for kind in schema.get("oneOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "oneOf"}
    return kinds[0] | rest if len(kinds) == 1 else schema
