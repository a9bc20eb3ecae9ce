"""The short way to one object: a signed request over a kept connection, at less than half of the client's price.

Only the usual answer is understood. Anything else (an error, a redirect, a connection that broke) counts as no answer,
and the caller goes the long way, through the client with its further tries and its errors: what camq sends may be
repeated.
"""

import base64
import hashlib
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from shared.config import Settings
from shared.storage.pool import CONNECT_S, PatientSend, trusted_roots
from shared.storage.signature import UNSIGNED, Signer


class Answer(NamedTuple):
    """What a server says: 200, or 404 to a HEAD."""

    status: int
    headers: HTTPMessage
    body: bytes


class _Bucket(NamedTuple):
    """Where a bucket's objects are, and the connections that wait for a request."""

    host: str
    path: str
    idle: deque[HTTPConnection]


class Direct:
    """As many connections are kept as threads have asked at once, who share it."""

    def __init__(self, settings: Settings, address: Callable[[str], str]) -> None:
        """`address` gives the URL of the object `-` in a bucket."""
        self._sign = Signer(settings.s3_access_key, settings.s3_secret_key, settings.s3_region)
        self._tls = ssl.create_default_context(cafile=trusted_roots()) if settings.s3_secure else None
        self._address = address
        self._buckets: dict[str, _Bucket] = {}

    def head(self, bucket: str, name: str) -> Answer | None:
        """404 when there is no such object."""
        return self._ask("HEAD", bucket, name)

    def get(self, bucket: str, name: str, most: int | None) -> Answer | None:
        """With the object's bytes, if they are said to be `most` at most."""
        return self._ask("GET", bucket, name, most=most)

    def put(self, bucket: str, name: str, data: bytes, content_type: str) -> Answer | None:
        """200 when the object is stored."""
        return self._ask("PUT", bucket, name, body=data, more={"content-type": content_type})

    def close(self) -> None:
        """Close the idle connections."""
        for bucket in self._buckets.values():
            while bucket.idle:
                bucket.idle.pop().close()

    def _ask(
        self,
        method: str,
        bucket: str,
        name: str,
        *,
        body: bytes | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
        most: int | None = None,
    ) -> Answer | None:
        """TimeoutError where the long way would wait in vain as well."""
        place = self._buckets.get(bucket) or self._find(bucket)
        path = place.path + quote(name)
        headers = {"host": place.host, **more, **self._vouch(body or b"")}
        self._sign(method, path, headers)
        connection = self._connection(place)
        answer = None
        try:
            connection.request(method, path, body, headers)
            answer = _read(connection.getresponse(), most, accepted={200, 404} if method == "HEAD" else {200})
        except TimeoutError:
            raise
        except (OSError, HTTPException):
            pass  # the long way meets it again, and says what it is
        finally:
            if answer is None:
                connection.close()  # half of an answer may be in it
            else:
                place.idle.append(connection)
        return answer

    def _find(self, bucket: str) -> _Bucket:
        url = urlsplit(self._address(bucket))
        return self._buckets.setdefault(bucket, _Bucket(url.netloc, url.path.removesuffix("-"), deque()))

    def _connection(self, place: _Bucket) -> HTTPConnection:
        with suppress(IndexError):
            return place.idle.pop()
        if self._tls is None:
            return _Connection(place.host, timeout=CONNECT_S)
        return _SecureConnection(place.host, timeout=CONNECT_S, context=self._tls)

    def _vouch(self, body: bytes) -> dict[str, str]:
        """Headers that let the server notice a body that changed on its way."""
        if self._tls is None:
            return {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        return {"x-amz-content-sha256": UNSIGNED, "content-md5": base64.b64encode(digest).decode()}


def _read(response: HTTPResponse, most: int | None, *, accepted: set[int]) -> Answer | None:
    """The whole answer, so that its connection can be used again."""
    if response.status not in accepted:
        return None
    if most is not None and (response.length is None or response.length > most):
        return None
    return Answer(response.status, response.headers, response.read())


class _Connection(PatientSend, HTTPConnection):
    pass


class _SecureConnection(PatientSend, HTTPSConnection):
    pass
