"""Who may talk to the live page, and what browsers may do with its answers."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from producer.web.kit.page import policy, render
from producer.web.live import LIVE
from shared.contract import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_WILDCARD = ("0.0.0.0", "::")
_SAFE = ("GET", "HEAD")
#: As the API's other problems: its clients read no other form.
_WRONG_HOST = {
    "title": "This is not the address of this server",
    "status": 421,
    "detail": "the header Host names another server; CAMQ_SERVE_HOSTS lists further names, such as a proxy's",
    "code": "wrong_host",
    "type": "about:blank",
}


@dataclass(frozen=True, slots=True)
class Door:
    """Where the page is and the secret that opens it."""

    host: str
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    #: Further values of `Host`, in lower case: the names of a proxy.
    names: frozenset[str] = frozenset()

    @property
    def link(self) -> str:
        """The one address that lets in."""
        host = "127.0.0.1" if self.host in _WILDCARD else self.host
        return f"http://{_bracketed(host)}:{self.port}/?token={self.token}"

    @property
    def private(self) -> bool:
        """Whether only this machine reaches it."""
        return _is_loopback(self.host)

    @property
    def cookie(self) -> str:
        """Its name. Browsers share cookies between the ports of a host, so the port is part of it."""
        return f"camq-{self.port}"

    def knows(self, host: str) -> bool:
        """Whether a `Host` header names this page.

        A page of an attacker whose name was bound again to our address still sends its own name. Where any
        address is listened on, any literal address is ours: no name server has a part in it.
        """
        if host.lower() in self.names:
            return True
        if self.host in _WILDCARD:
            name, _, port = host.rpartition(":")
            return port == str(self.port) and (_is_address(name) or name in ("localhost", socket.gethostname()))
        names = {_bracketed(self.host), *(_LOOPBACK if _is_loopback(self.host) else ())}
        return host.lower() in {f"{name}:{self.port}" for name in names}

    def opens(self, token: str) -> bool:
        """Whether this is the secret; takes as long for a near miss as for a far one."""
        return compare_digest(token.encode(), self.token.encode())


class Guard:
    """ASGI middleware: refuses strangers, trades the link's token for a cookie, sets the headers of every answer.

    What is below a path of `others` goes to that application, which has a door of its own: only the host is checked.
    """

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        others: Mapping[str, ASGIApp] | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.app = app
        self.door = door
        self.others = others or {}
        #: Ends what the application has started.
        self.close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass what may pass."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                # The page's application has nothing to begin or to end.
                await next(iter(self.others.values()), self.app)(scope, receive, send)
            return
        scope.setdefault("state", {})["nonce"] = nonce = secrets.token_urlsafe(16)
        answer = self._answer(Request(scope), nonce)
        await answer(scope, receive, _with_headers(send, nonce))

    def _answer(self, request: Request, nonce: str) -> ASGIApp:
        """The refusal, the redirect, or the application for a request that may pass."""
        host = request.headers.get("host", "")
        other = next((path for path in self.others if f"{request.scope['path']}/".startswith(f"{path}/")), None)
        if not self.door.knows(host):
            return _misdirected(as_problem=other is not None)
        if other:
            return self.others[other]
        if request.method not in _SAFE and not self._is_own(request.headers.get("origin"), host):
            return PlainTextResponse("This request came from another page.", 403)
        if request.method in _SAFE and self.door.opens(request.query_params.get("token", "")):
            page = request.scope["path"]
            # Two slashes would begin another host's name.
            welcome = RedirectResponse(quote(page) if re.match(r"/(?![/\\])", page) else "/", 303)
            welcome.set_cookie(self.door.cookie, self.door.token, httponly=True, samesite="strict")
            return welcome
        if not self.door.opens(request.cookies.get(self.door.cookie, "")):
            return Response(render("locked.html", package=LIVE, nonce=nonce), 401, media_type="text/html")
        return self.app

    def _is_own(self, origin: str | None, host: str) -> bool:
        """Whether a page of ours sent it; a proxy's name may be reached over TLS."""
        return origin == f"http://{host}" or (host.lower() in self.door.names and origin == f"https://{host}")


def _misdirected(*, as_problem: bool) -> Response:
    if as_problem:
        return Response(encode(_WRONG_HOST), 421, media_type="application/problem+json")
    return PlainTextResponse("This is not the address of this page.", 421)


def _with_headers(send: Send, nonce: str) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Content-Security-Policy"] = (
                policy(nonce, images="'self' data:", connect="'self'", form="'self'") + "; frame-ancestors 'none'"
            )
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sender


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
