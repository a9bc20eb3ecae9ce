"""Addresses of Redis: with TLS, through Sentinel, over a Unix socket, and as Celery spells them.

`rediss://:PASSWORD@host:6380/0` is TLS, its certificate checked against the system's roots or `?ssl_ca_certs=FILE`;
`unix://:PASSWORD@/run/redis.sock?db=0` is a socket of this machine;
`redis+sentinel://:PASSWORD@h1:26379,h2:26379/0?master=NAME` asks Sentinels where the master is.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from shared.errors import UsageError

SENTINEL = "redis+sentinel"
_SENTINEL_PORT = 26379
_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who knows the master, its name there, and what the master asks for."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    database: int
    password: str | None


def sentinels(url: str) -> Sentinels | None:
    """The Sentinels that a URL names; None when it names Redis itself. Raises UsageError."""
    parts = urlsplit(url)
    if parts.scheme != SENTINEL:
        return None
    master = parse_qs(parts.query).get("master", [""])[0]
    try:
        hosts = tuple(_host(text) for text in parts.netloc.rpartition("@")[2].split(","))
        database = int(parts.path.strip("/") or 0)
    except ValueError:
        master = ""
    if not master:
        raise UsageError(f"CAMQ_REDIS_URL: write {SENTINEL}://:PASSWORD@host:26379,host:26379/0?master=NAME")
    return Sentinels(hosts, master, database, unquote(parts.password) if parts.password else None)


def celery_url(url: str) -> str:
    """The same address for Celery, which has a URL per Sentinel and insists on being told to check certificates."""
    if found := sentinels(url):
        secret = f":{quote(found.password, safe='')}@" if found.password else ""
        return ";".join(f"sentinel://{secret}{host}:{port}/{found.database}" for host, port in found.hosts)
    if url.startswith("unix:"):  # kombu's spelling: credentials and path alike, the database as `virtual_host`
        parts = urlsplit(url)
        database = parse_qs(parts.query).get("db", ["0"])[0]
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
    if url.startswith("rediss://") and "ssl_cert_reqs" not in url:
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
    return url


def celery_options(url: str) -> dict[str, Any]:
    """What Celery's transport must know beside the address."""
    found = sentinels(url)
    return {"master_name": found.master} if found else {}


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
