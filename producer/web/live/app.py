"""The live page's application: which address means what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from producer.web.kit.page import render
from producer.web.live import LIVE
from producer.web.live.actions import Actions
from producer.web.live.guard import Door, Guard
from producer.web.live.pages import Pages
from shared.errors import CamqError, DeniedError, NotFoundError, UnknownJobError, UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from producer.services import Services

_STATUS = {UnknownJobError: 404, NotFoundError: 404, UsageError: 400, UnreachableError: 503, DeniedError: 503}
_TITLES = {404: "Not found", 503: "A service is away"}


class _Number(IntegerConvertor):
    """An index or a rank. Python refuses to read a number of thousands of digits, and storage such a key."""

    regex = "[0-9]{1,9}"


def build(services: Services, door: Door, others: Mapping[str, ASGIApp] | None = None) -> ASGIApp:
    """The application on these servers, behind this door, with `others` below their paths."""
    pages, actions = Pages(services), Actions(services)
    register_url_convertor("number", _Number())
    image = "/jobs/{job}/images/{index:number}"
    app = Starlette(
        routes=[
            Route("/", pages.overview),
            Route("/jobs", actions.submit, methods=["POST"]),
            Route("/jobs/{job}", pages.job),
            Route("/jobs/{job}/cancel", actions.cancel, methods=["POST"]),
            Route("/jobs/{job}/retry", actions.retry, methods=["POST"]),
            Route("/jobs/{job}/images", pages.images),
            Route("/jobs/{job}/answers", pages.answers),
            Route(f"{image}/original", pages.original),
            Route(f"{image}/overlays/{{rank:number}}", pages.overlay),
        ],
        exception_handlers={CamqError: _failed, HTTPException: _refused},
    )
    # Around everything, not among the app's middleware: an answer to a crash needs the headers as well.
    return Guard(app, door, others, pages.close)


async def _failed(request: Request, error: Exception) -> Response:
    """An error as a page, or as JSON for the page's script. Its messages never contain secrets."""
    code = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    return _answer(request, code, str(error))


async def _refused(request: Request, error: Exception) -> Response:
    code, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    return _answer(request, code, detail)


def _answer(request: Request, code: int, message: str) -> Response:
    if request.method == "POST":
        return JSONResponse({"error": message}, code)
    page = render(
        "error.html",
        package=LIVE,
        nonce=request.state.nonce,
        title=_TITLES.get(code, "This did not work"),
        message=message,
    )
    return Response(page, code, media_type="text/html")
