"""The webhook of a job: which URLs are allowed, and how one is shown in messages."""

import re
from itertools import takewhile

from shared.errors import UsageError

MOST_CHARACTERS = 2048
#: A part of a path that is shown; the empty one stands between or behind slashes.
_WORD = re.compile(r"[a-z-]{0,12}")
_PORTS = {"http": 80, "https": 443}


def check_webhook(url: str, hosts: str) -> None:
    """UsageError unless `url` is an http(s) address of one of `hosts` (`CAMQ_WEBHOOK_HOSTS`).

    An entry `host` allows the default port of the scheme, `host:port` that port. Checked at submission and again
    before sending: a client with access to Redis could name an address inside the operator's network. The URL is
    parsed by the library that will call it, so that both see the same host.
    """
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    name = repr(shown_webhook(url))
    if len(url) > MOST_CHARACTERS or not (url.isascii() and url.isprintable()) or " " in url:
        raise UsageError(f"invalid webhook {name}: expected at most {MOST_CHARACTERS} printable ASCII characters")
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise UsageError(f"invalid webhook {name}: expected a URL") from None
    if parts.scheme not in _PORTS or not parts.host:
        raise UsageError(f"invalid webhook {name}: expected http:// or https:// and a host")
    if parts.auth is not None:
        raise UsageError(f"invalid webhook {name}: a user or password in the URL is not supported; requests are signed")
    usual = _PORTS[parts.scheme]
    port = parts.port or usual
    places = {f"{parts.host}:{port}"} | ({parts.host} if port == usual else set())
    allowed = hosts.lower().split()
    if not places & set(allowed):
        place = parts.host if port == usual else f"{parts.host}:{port}"
        raise UsageError(
            f"invalid webhook {name}: CAMQ_WEBHOOK_HOSTS does not allow {place}; add it here and on the workers"
            f" (allowed now: {', '.join(allowed) or 'none'})"
        )


def shown_webhook(url: str) -> str:
    """The URL for messages to people: without credentials, query and fragment, its path as far as it is plain words.

    Slack, Discord and others put a secret into the path: from the first part that is not a short word in lower case
    on, an ellipsis takes its place.
    """
    shown = re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])
    start, separator, rest = shown.partition("://")
    host, *parts = re.split(r"[/\\]", rest if separator else start)
    words = list(takewhile(_WORD.fullmatch, parts))
    hidden = ["…"] if len(words) < len(parts) else []
    return start * bool(separator) + separator + "/".join([host, *words, *hidden])
