"""The API's application: its routes, what stands before them, and its description."""

from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.openapi import OpenAPIConfig
from starlette.exceptions import HTTPException as LiveError
from starlette.middleware.cors import CORSMiddleware

from producer.web.http import V1
from producer.web.http.bearer import NEEDS, Bearer, check_request
from producer.web.http.catalogue import CATALOGUE
from producer.web.http.description import Description
from producer.web.http.following import FOLLOWING
from producer.web.http.managing import MANAGING
from producer.web.http.problems import answer_error
from producer.web.http.submitting import SUBMITTING
from producer.web.http.work import Work
from producer.web.live.app import build
from producer.web.live.guard import Door

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from producer.services import Services

#: A list of addresses; uploads have a limit of their own.
_MOST_JSON_BYTES = 10_000_000


def build_both(services: "Services", door: Door) -> "ASGIApp":
    """The live page, and the API below /v1, behind this door."""
    return build(services, door, {V1: build_api(services)})


def build_api(services: "Services") -> "ASGIApp":
    """The application below /v1 on these servers. Connects to Redis."""
    settings = services.settings
    work = Work(services)
    rates = RateLimitConfig(
        ("minute", settings.serve_requests_per_minute), identifier_for_request=_holder, check_throttle_handler=_counts
    )
    app = Litestar(
        [*SUBMITTING, *FOLLOWING, *MANAGING, *CATALOGUE, Description],
        dependencies={"work": Provide(lambda: work, sync_to_thread=False)},
        guards=[check_request],
        middleware=[rates.middleware],
        exception_handlers=dict.fromkeys((HTTPException, LiveError, Exception), answer_error),
        request_max_body_size=_MOST_JSON_BYTES,
        openapi_config=OpenAPIConfig("camq", "1", path="/nowhere", render_plugins=[]),
        on_shutdown=[work.news.close],
        logging_config=None,
        debug=False,
    )
    inner: ASGIApp = Bearer(app, services)  # type: ignore[arg-type]
    if origins := settings.serve_origins.split():
        inner = CORSMiddleware(
            inner,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Prefer"],
            expose_headers=["ETag", "Location", "Retry-After"],
        )
    return inner


def _holder(request: Request[Any, Any, Any]) -> str:
    return str(request.auth.id)


def _counts(request: Request[Any, Any, Any]) -> bool:
    """What anybody may read is made once and costs nothing."""
    return NEEDS in request.route_handler.opt
