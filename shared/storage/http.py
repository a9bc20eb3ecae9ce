"""HTTP connections to the S3 server: how many, how long to wait, how often to try again."""

import os
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

CONNECT_S = 3.0
READ_S = 30.0
#: A probe (`check`) answers within this, so that a command at a dead address ends while its user still looks.
PROBE_S = 4.0
#: How much of a body one write timeout bounds: on a link of 35 KB/s it still goes through.
_SLICE = 1 << 20


def http_pool(size: int) -> urllib3.PoolManager:
    """Connections for the work: `size` of them are kept open.

    No second attempt at connecting: whether an outage is waited out is decided by callers, who know
    for how long. A connection that breaks half-way is tried once more (pooled ones go stale when a
    server restarts), a busy answer twice; every request camq sends may be repeated.
    """
    retry = urllib3.Retry(
        connect=0,
        read=1,
        other=0,
        status=2,
        redirect=False,
        status_forcelist=(429, 500, 502, 503, 504),
        backoff_factor=0.2,
        raise_on_status=False,
        allowed_methods=None,
        respect_retry_after_header=False,  # a server may ask for minutes; waiting is the caller's matter
    )
    return _pool(size, urllib3.Timeout(connect=CONNECT_S, read=READ_S), retry)


def probe_pool() -> urllib3.PoolManager:
    """One connection that gives up soon and never tries again."""
    return _pool(1, urllib3.Timeout(total=PROBE_S), urllib3.Retry(0, redirect=False, raise_on_status=False))


def trusted_roots() -> str:
    """The file of certificates that servers are checked against: `SSL_CERT_FILE`, or the public ones."""
    return os.environ.get("SSL_CERT_FILE") or certifi.where()


def _pool(size: int, timeout: urllib3.Timeout, retry: urllib3.Retry) -> urllib3.PoolManager:
    manager = urllib3.PoolManager(
        maxsize=size,
        timeout=timeout,
        retries=retry,
        cert_reqs="CERT_REQUIRED",
        ca_certs=trusted_roots(),
    )
    manager.pool_classes_by_scheme = pools(_PatientSend)
    return manager


def pools(connection: type) -> dict[str, type[HTTPConnectionPool]]:
    """For a manager's `pool_classes_by_scheme`: pools whose connections have the methods of `connection` before their
    own."""
    plain = type("Connection", (connection, HTTPConnection), {})
    secure = type("SecureConnection", (connection, HTTPSConnection), {})
    return {
        "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


class _PatientSend:
    """A timeout bounds one slice of the body, not the whole.

    urllib3 leaves the connect timeout on a new socket while the body is sent, and `sendall` counts it
    once for everything: a picture of 20 MB would have to leave within three seconds.
    """

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock.settimeout(READ_S)

    def send(self, data: Any) -> None:
        if not isinstance(data, bytes) or len(data) <= _SLICE:
            super().send(data)  # type: ignore[misc]
            return
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            super().send(view[start : start + _SLICE])  # type: ignore[misc]
