"""Where a job may send its overlays and its webhook. Producer and worker make the same checks."""

import re
from itertools import takewhile

from shared.config import Settings
from shared.errors import UsageError
from shared.storage.port import SCHEME, locate_object

MOST_CHARACTERS = 2048
#: A part of a path that is shown; the empty one stands between or behind slashes.
_WORD = re.compile(r"[a-z-]{0,12}")
_PORTS = {"http": 80, "https": 443}


def check_output(output: str, settings: Settings) -> str:
    """The prefix without a slash at its end. UsageError when it is invalid or must not be written.

    The worker checks it again: a client with access to Redis could name any bucket.
    """
    prefix = output.rstrip("/")
    if not prefix.startswith(SCHEME) or not prefix.isprintable():
        raise UsageError(f"invalid output {output!r}: expected s3://bucket/prefix")
    bucket, _ = locate_object(f"{prefix}/job.json", "")
    if bucket == settings.bucket:
        # There `rm` and `gc` delete, and a job could overwrite the inputs and results of others.
        raise UsageError(f"invalid output {prefix!r}: {bucket!r} is camq's own bucket; use another, or omit the option")
    allowed = settings.writable_outside()
    if allowed and not f"{prefix}/".startswith(allowed):
        raise UsageError(f"invalid output {prefix!r}: CAMQ_OUTPUT_PREFIXES allows {' '.join(allowed)}")
    return prefix


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
