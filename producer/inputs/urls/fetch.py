"""One picture behind an address: fetched when it is uploaded, named without what is secret of its address."""

from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies_environment

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Url, make_headers, parse_url

from producer.inputs.source import Source, check_size, checked, split_page, with_page
from producer.inputs.urls.guarded import READ_S, RefusedAddressError, pool
from shared.errors import ImageError
from shared.storage.timed import Attempt

SCHEMES = ("http://", "https://")
MOST_REDIRECTS = 5
LONGEST = 8192
#: For the whole of one picture, redirects and all tries.
TOTAL_S = 120.0
_BLOCK = 1 << 16
_CODES = {401: "denied", 403: "denied", 404: "not_found", 410: "not_found", 451: "denied"}


@dataclass(frozen=True, slots=True)
class UrlSource(Source):
    """A picture behind http(s); `private` says whether it may be in a private network."""

    address: str = field(repr=False)
    private: bool = True

    def read(self, limit: int) -> bytes:
        """Fetched by each call. ImageError without user, password and query in its message."""
        return checked(self.name, fetch(self.address, limit, private=self.private), limit)


def picture_at(address: str, *, private: bool) -> Source:
    """The picture behind an address, or its page as `ADDRESS#n`, which is fetched later."""
    file, page = split_page(address)
    whole = UrlSource(without_secrets(file), file, private)
    return whole if page is None else with_page(whole, page)


def without_secrets(address: str) -> str:
    """An address as it may be shown: without user, password, query and fragment."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address.partition("?")[0].rpartition("@")[2]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def fetch(address: str, limit: int, *, private: bool) -> bytes:
    """At most `limit` bytes from an address and those that it redirects to, each looked at before it is connected to.

    ImageError: `denied`, `not_found`, `too_large`, or `unavailable`, with the address as it may be shown.
    """
    shown = without_secrets(address)
    with Attempt(TOTAL_S) as attempt:
        try:
            found = _follow(address, shown, limit, private=private)
            reason = ""
        except RefusedAddressError as error:
            raise ImageError("denied", f"cannot fetch {shown}: {error}") from None
        except (HTTPError, OSError) as error:
            reason = _reason(error) + _without_proxy(address, error)
        if attempt.is_over.is_set():  # what was read may have been cut off
            reason = f"no complete answer within {TOTAL_S:g} s"
    if reason:
        raise ImageError("unavailable", f"cannot fetch {shown}: {reason}")
    return found


def parsed(address: str) -> Url | None:
    """An http(s) address with a host, in its normal form; None for anything else."""
    if len(address) > LONGEST or not address.isprintable() or " " in address:
        return None
    try:
        parts = parse_url(address)
        if parts.scheme not in ("http", "https") or not parts.host:
            return None
    except LocationParseError:
        return None
    return parts


def _follow(address: str, shown: str, limit: int, *, private: bool) -> bytes:
    parts = parsed(address)
    if parts is None:
        expected = f"expected http:// or https://, a host, and at most {LONGEST:,} characters"
        raise ImageError("unavailable", f"cannot fetch {shown}: {expected}")
    first, auth = parts, parts.auth
    for _ in range(MOST_REDIRECTS + 1):
        headers = {"User-Agent": f"camq/{version('camq')}", "Accept": "image/*,*/*;q=0.5"}
        if auth and _server(parts) == _server(first):  # another one must not learn it
            headers |= make_headers(basic_auth=unquote(auth))
        url = parts._replace(auth=None, fragment=None).url
        answer = pool(private=private).request("GET", url, headers=headers, redirect=False, preload_content=False)
        with closing(answer):  # which was given back already where it was read to its end
            following = answer.get_redirect_location()
            if not following:
                return _body(answer, shown, limit)
        redirected = parsed(urljoin(url, following))
        if redirected is None:
            raise ImageError(
                "unavailable", f"cannot fetch {shown}: it redirects to an address that is not http:// or https://"
            )
        parts = redirected
    raise ImageError("unavailable", f"cannot fetch {shown}: it redirects more than {MOST_REDIRECTS} times")


def _server(parts: Url) -> tuple[object, ...]:
    return parts.scheme, parts.host, parts.port


def _body(answer: urllib3.BaseHTTPResponse, shown: str, limit: int) -> bytes:
    if answer.status != HTTPStatus.OK:
        phrase = next((f" {known.phrase}" for known in HTTPStatus if known == answer.status), "")
        code = _CODES.get(answer.status, "unavailable")
        raise ImageError(code, f"cannot fetch {shown}: the server answers {answer.status}{phrase}")
    announced = answer.headers.get("Content-Length", "")
    if announced.isdecimal() and len(announced) < 20:
        check_size(shown, int(announced), limit)
    body = bytearray()
    for block in answer.stream(_BLOCK):
        body += block
        if len(body) > limit:
            check_size(shown, len(body), limit)
    return bytes(body)


def _reason(error: Exception) -> str:
    """A sentence. What urllib3 writes may have the query in it."""
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    if isinstance(cause, NameResolutionError):
        return "its host has no address"
    if isinstance(cause, ConnectTimeoutError | NewConnectionError | SSLError):
        return str(cause).rpartition(": ")[2][:200]
    if isinstance(cause, ReadTimeoutError):
        return f"no answer within {READ_S:g} s"
    return f"the connection broke ({type(cause).__name__})"


def _without_proxy(address: str, error: Exception) -> str:
    """A hint where the environment names a proxy and no connection could be made. camq uses none: the proxy would look
    the name up, and nobody could check the address that it connects to."""
    cause = error.reason if isinstance(error, MaxRetryError) else error
    unconnected = isinstance(cause, ConnectTimeoutError | NameResolutionError | NewConnectionError)
    if not unconnected or address.partition(":")[0].lower() not in getproxies_environment():
        return ""
    return "; the proxy of this environment (HTTPS_PROXY) is not used: fetch the picture first, as with curl -O"
