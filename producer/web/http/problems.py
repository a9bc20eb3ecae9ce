"""Errors as `application/problem+json` (RFC 9457), with a code for programs."""

import logging
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from starlette.exceptions import HTTPException as LiveError

from producer.web.http import V1
from producer.web.http.bodies import Submission
from producer.web.http.words import fault_of, without_command_line
from shared.errors import (
    CamqError,
    DeletionError,
    DeniedError,
    ImageError,
    NotFoundError,
    TakenError,
    UnavailableError,
    UnknownJobError,
    UnreachableError,
    UsageError,
)

log = logging.getLogger("camq")

#: What the framework calls a value that it found wrong, and what a client sent.
_NAMES = {"data": "", "key": "Idempotency-Key", "prefer": "Prefer"}

CONTENT_TYPE = "application/problem+json"
#: Status and code of each error, the narrower one first. A picture's error has its own code.
_OURS: tuple[tuple[type[CamqError], int, str], ...] = (
    (ImageError, 422, ""),
    (TakenError, 409, "conflict"),
    (UsageError, 400, "usage"),
    (UnknownJobError, 404, "unknown_job"),
    (NotFoundError, 404, "not_found"),
    (DeletionError, 409, "deleting"),
    (UnreachableError, 503, "unreachable"),
    (DeniedError, 503, "denied"),
    (UnavailableError, 503, "unavailable"),
)
_CODES = {400: "usage", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
_CODES |= {408: "timeout", 409: "conflict", 411: "length_required", 413: "too_large", 415: "media_type"}
_CODES |= {421: "wrong_host", 429: "rate", 503: "unreachable"}
_TITLES = {
    400: "The request is invalid",
    401: "A valid token is needed",
    403: "The token does not allow this",
    404: "Not found",
    405: "This address does not take this method",
    409: "Another request is in the way",
    411: "The request needs a Content-Length",
    413: "The request is too large",
    415: "This address does not take this media type",
    422: "The picture cannot be explained",
    429: "Too many requests",
    503: "A service is away",
}
#: What the framework says of an address that does not exist, and of a method that it does not take.
_BARE = frozenset({"Not Found", "Method Not Allowed"})
#: After so many seconds it is worth asking again.
_AGAIN_S = "5"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong. `code` stays the same for programs; `detail` is a sentence for people."""

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"


def problem(status: int, detail: str, code: str | None = None) -> Problem:
    """The problem of this status."""
    title = _TITLES.get(status, "This did not work")
    # It may quote bytes that are no UTF-8.
    said = detail.encode("utf-8", "backslashreplace").decode()
    return Problem(title=title, status=status, detail=said or title, code=code or _CODES.get(status, "internal"))


def problem_of(error: Exception) -> Problem:
    """The problem that an error is. What camq did not foresee is logged, and says nothing of its inside."""
    if isinstance(error, CamqError):
        said = without_command_line(str(error))
        for kind, status, code in _OURS:
            if isinstance(error, kind):
                return problem(status, said, error.code if isinstance(error, ImageError) else code)
        return problem(500, said)
    if isinstance(error, LiveError):
        return problem(error.status_code, without_command_line(error.detail))
    if isinstance(error, HTTPException) and error.status_code < 500:
        return problem(error.status_code, _said(error))
    log.exception("a request of the API failed", exc_info=error)
    return problem(500, "camq failed on this request; its log has the reason")


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The answer to a request that raised."""
    found = problem_of(error)
    if found.detail in _BARE:  # the framework's words, which say no more than the status
        what = f"{request.method} {request.url.path[:200]}"
        found = problem(found.status, f"the API does not have {what}; {V1}/docs lists what it has")
    headers = dict(getattr(error, "headers", None) or {})
    if found.status == 503:
        headers["Retry-After"] = _AGAIN_S
    return Response(found, status_code=found.status, media_type=CONTENT_TYPE, headers=headers)


def _said(error: HTTPException) -> str:
    """Every fault that validation found, each with the name of the value."""
    faults = error.extra if isinstance(error.extra, list) else []
    lines = [
        fault_of(_NAMES.get(key, key), fault["message"], Submission)
        for fault in faults
        if (key := fault.get("key", "")) is not None and fault.get("message")
    ]
    detail = "the body is not JSON: it ends early" if error.detail == "Input data was truncated" else error.detail
    return "; ".join(lines) or detail
