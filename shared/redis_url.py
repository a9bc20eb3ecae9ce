"""Addresses of Redis: with TLS, through Sentinel, over a Unix socket, and as Celery spells them.

`rediss://USER:PASSWORD@host:6380/0` is TLS, its certificate checked against the system's roots or `?ssl_ca_certs=FILE`,
with `ssl_certfile=` and `ssl_keyfile=` for a certificate of the client's own;
`unix://USER:PASSWORD@/run/redis.sock?db=0` is a socket of this machine;
`redis+sentinel://USER:PASSWORD@h1:26379,h2:26379/0?master=NAME` asks Sentinels where the master is. They may have a
password of their own: `&sentinel_password=…`, and `&sentinel_username=…`.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from shared.errors import UsageError

SENTINEL = "redis+sentinel"
_SENTINEL_PORT = 26379
_PORTS = {"amqp": 5672, "amqps": 5671}
_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
#: What may stand behind the `?` of each kind of address.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "redis": ("db",),
    "rediss": ("db", *_TLS),
    "unix": ("db",),
    SENTINEL: ("master", "sentinel_username", "sentinel_password"),
}
#: More would be a mistake: servers have 16 unless told otherwise.
_MOST_DATABASE = 65535


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The addresses of the Sentinels, the master's name, its credentials, and those of the Sentinels."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    database: int
    password: str | None
    username: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None

    @property
    def login(self) -> dict[str, str]:
        """Of the Sentinels."""
        known = {"username": self.sentinel_username, "password": self.sentinel_password}
        return {name: value for name, value in known.items() if value}


def check(url: str) -> None:
    """UsageError for an address that no client could use, with what is wrong; never with its password."""
    parts = urlsplit(url)
    if parts.scheme not in PARAMETERS:
        raise UsageError(
            f"CAMQ_REDIS_URL begins with {parts.scheme[:20] + '://' if '://' in url else 'no scheme'!r}: expected"
            " redis://, rediss:// (TLS), unix:// or redis+sentinel://"
        )
    known = PARAMETERS[parts.scheme]
    unknown = [name for name in parse_qs(parts.query, keep_blank_values=True) if name not in known]
    if unknown:
        hint = "; TLS is rediss://" if unknown[0] in _TLS else ""
        raise UsageError(
            f"CAMQ_REDIS_URL has the unknown parameter {unknown[0][:40]!r}: {parts.scheme}:// takes"
            f" {', '.join(known)}{hint}"
        )
    database(parts)


def database(parts: SplitResult) -> int:
    """The number of the database that an address names. UsageError for what is no number."""
    asked = parse_qs(parts.query).get("db", [""])[0]
    text = asked or ("" if parts.scheme == "unix" else parts.path.strip("/"))
    if text and not (text.isascii() and text.isdigit() and int(text) <= _MOST_DATABASE):
        raise UsageError(
            f"CAMQ_REDIS_URL names the database {text[:40]!r}: expected a number, as in redis://host:6379/0"
        )
    return int(text or 0)


def sentinels(url: str) -> Sentinels | None:
    """The Sentinels that a URL names; None when it names Redis itself. Raises UsageError."""
    parts = urlsplit(url)
    if parts.scheme != SENTINEL:
        return None
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    master = query.get("master", "")
    try:
        hosts = tuple(_host(text) for text in parts.netloc.rpartition("@")[2].split(","))
    except ValueError:
        master = ""
    if not master:
        raise UsageError(f"CAMQ_REDIS_URL: write {SENTINEL}://:PASSWORD@host:26379,host:26379/0?master=NAME")
    return Sentinels(
        hosts,
        master,
        database(parts),
        unquote(parts.password) if parts.password else None,
        unquote(parts.username) if parts.username else None,
        query.get("sentinel_username"),
        query.get("sentinel_password"),
    )


def celery_url(url: str) -> str:
    """The same address for Celery, which has a URL per Sentinel and insists on being told to check certificates."""
    if found := sentinels(url):
        user = quote(found.username or "", safe="")
        secret = f"{user}:{quote(found.password, safe='')}@" if found.password else ""
        return ";".join(f"sentinel://{secret}{host}:{port}/{found.database}" for host, port in found.hosts)
    if url.startswith("unix:"):  # kombu's spelling: credentials and path alike, the database as `virtual_host`
        parts = urlsplit(url)
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database(parts)}"
    if url.startswith("rediss://") and "ssl_cert_reqs" not in url:
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
    return url


def celery_options(url: str) -> dict[str, Any]:
    """What Celery's transport must know beside the address."""
    found = sentinels(url)
    if found is None:
        return {}
    return {"master_name": found.master} | ({"sentinel_kwargs": found.login} if found.login else {})


def query_secrets(url: str) -> list[str]:
    """Passwords behind the `?`, as they are spelled there."""
    pairs = (part.partition("=") for part in urlsplit(url).query.split("&"))
    return [value for name, _, value in pairs if "password" in name and value]


def shown(url: str) -> str:
    """Where it is, without its password, for messages to people."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix:{parts.path}"
    if parts.scheme == SENTINEL:
        return f"{parts.netloc.rpartition('@')[2]} (Sentinel)"
    return f"{parts.hostname or '127.0.0.1'}:{parts.port or _PORTS.get(parts.scheme, 6379)}"


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    if not host:
        raise ValueError("no host")
    return host, int(port or _SENTINEL_PORT)
