"""Who may call the API: the holder of a token, as far as its scope reaches."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from producer.web.http import V1
from producer.web.http.problems import CONTENT_TYPE, problem, problem_of
from shared.contract import encode
from shared.errors import CamqError, UsageError
from shared.text import did_you_mean
from shared.tokens import Scope as Rights
from shared.tokens import Token

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from producer.services import Services

#: What anybody may read who reaches the server: how the API is called, nothing of what is in it.
PUBLIC = frozenset({f"{V1}/openapi.json", f"{V1}/docs"})
#: A route's entry in its `opt`: the scope that it needs.
NEEDS = "needs"
_SCHEME = "bearer "


class Bearer:
    """ASGI middleware before every address of the API, those that do not exist as well: no token, no answer."""

    def __init__(self, app: "ASGIApp", services: "Services") -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass the request on with its token as `auth`, or refuse it before its body is read."""
        if scope["type"] == "http" and scope["path"] not in PUBLIC:
            refusal = await self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refusal(self, scope: "Scope") -> Response | None:
        given = Request(scope).headers.get("authorization", "")
        text = given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else ""
        try:
            token = await run_in_threadpool(self._services.tokens.opened_by, text) if text else None
        except CamqError as error:
            found = problem_of(error)
            return _answer(found.status, found.detail, {"Retry-After": "5"})
        if token is None:
            what = "this token is not valid: it is mistyped, expired or revoked" if text else "no token was sent"
            detail = f"{what}; send `Authorization: Bearer TOKEN`, which `camq token create` prints"
            return _answer(401, detail, {"WWW-Authenticate": 'Bearer realm="camq"'})
        scope["auth"], scope["user"] = token, token.id
        return None


def _answer(status: int, detail: str, headers: Mapping[str, str]) -> Response:
    return Response(encode(problem(status, detail)), status, headers, CONTENT_TYPE)


def check_request(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Litestar's guard of every route.

    PermissionDeniedException unless the token's scope covers the route's; UsageError for a parameter that the route
    does not have, which Litestar would pass over.
    """
    needed: Rights | None = handler.opt.get(NEEDS)
    if needed is None:
        return
    token: Token = connection.auth
    if not token.allows(needed):
        raise PermissionDeniedException(f"this needs a token of the scope {needed}; yours has the scope {token.scope}")
    known = _parameters(handler)
    if unknown := [name for name in connection.query_params if name not in known]:
        hint = did_you_mean(unknown[0], known)
        raise UsageError(
            f"unknown parameter {unknown[0][:80]!r}{hint}: expected {', '.join(known) or 'none in the address'}"
        )


@cache
def _parameters(handler: BaseRouteHandler) -> list[str]:
    """The names that may stand in the query of the address."""
    fields = handler.parsed_fn_signature.parameters.items()
    return [name for name, field in fields if isinstance(field.kwarg_definition, QueryParameter)]
