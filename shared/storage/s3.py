"""The S3 adapter: plain S3 calls only, so that any S3 server will do."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Self

import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, S3Error, ServerError

from shared.config import Settings
from shared.errors import (
    CamqError,
    CredentialsError,
    DeniedError,
    NotFoundError,
    ObjectTooLargeError,
    UnavailableError,
    UnreachableError,
    UsageError,
)
from shared.storage.http import http_pool, probe_pool
from shared.storage.port import SCHEME, Stat, locate, locate_object, own_key

_MISSING = {"NoSuchKey", "NoSuchBucket"}
#: Faults of the credentials or the clock: whatever is asked for would be refused.
_NOT_KNOWN = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "ExpiredToken", "InvalidToken"}
_DENIED = {"AccessDenied", "AllAccessDisabled"}
#: The bucket is in another region than the request was signed for. A HEAD has no body to say so: `BadRequest`.
_WRONG_REGION = {"AuthorizationHeaderMalformed", "PermanentRedirect", "Redirect", "TemporaryRedirect", "BadRequest"}
_REFUSALS: tuple[tuple[set[str], type[DeniedError], str], ...] = (
    (_DENIED, DeniedError, "CAMQ_S3_ACCESS_KEY, CAMQ_S3_SECRET_KEY and what they may do"),
    (_NOT_KNOWN, CredentialsError, "CAMQ_S3_ACCESS_KEY, CAMQ_S3_SECRET_KEY and this machine's clock"),
    (_WRONG_REGION, DeniedError, "CAMQ_S3_REGION and CAMQ_S3_ENDPOINT"),
)
_BUSY = {"SlowDown", "RequestTimeout"}
#: 507: no space is left, until somebody makes some.
_BUSY_STATUS = {429, 500, 502, 503, 504, 507}
_OURS_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
#: The client splits larger bodies into parts, three requests at least; below 5 GB S3 takes one PUT.
_MIN_PART = 5 * 1024 * 1024
#: Buckets named in a message.
_NAMED = 10


class S3Store:
    """Objects on an S3 server. One store per process; its threads share the connections."""

    def __init__(self, client: Minio, probe: Minio, *, bucket: str, endpoint: str) -> None:
        self.bucket = bucket
        self._client = client
        self._probe = probe
        self._endpoint = endpoint

    @classmethod
    def from_settings(cls, settings: Settings, pool_size: int = 32) -> Self:
        """The store that the settings name. Connects to nothing yet.

        `pool_size` is the number of threads that use the store at once. Raises UsageError for an endpoint
        that is not `host:port` and for a bucket name that S3 does not allow.
        """
        locate(f"{SCHEME}{settings.bucket}/", "")

        def client(pool: urllib3.PoolManager) -> Minio:
            return Minio(
                settings.s3_endpoint,
                access_key=settings.s3_access_key or None,
                secret_key=settings.s3_secret_key,
                secure=settings.s3_secure,
                region=settings.s3_region,  # given, so that the client never asks the server for it
                http_client=pool,
            )

        try:
            return cls(
                client(http_pool(pool_size)),
                client(probe_pool()),
                bucket=settings.bucket,
                endpoint=settings.s3_endpoint,
            )
        except ValueError as error:
            raise UsageError(
                f"CAMQ_S3_ENDPOINT must be host:port, no http:// or path (TLS: CAMQ_S3_SECURE=true): {error}"
            ) from error

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """One PUT, whatever the size."""
        bucket, name = locate_object(key, self.bucket)
        with self._translated(key):
            self._client.put_object(
                bucket, name, io.BytesIO(data), len(data), content_type, part_size=max(len(data), _MIN_PART)
            )

    def get(self, key: str, max_bytes: int | None = None) -> bytes:
        """One GET; its length is looked at before the body is read."""
        bucket, name = locate_object(key, self.bucket)
        with self._translated(key):
            response = self._client.get_object(bucket, name)
            try:
                length = int(response.headers.get("Content-Length", 0))
                if max_bytes is not None and length > max_bytes:
                    raise ObjectTooLargeError(f"{key} has {length} bytes; the limit is {max_bytes}")
                data = _body(response, max_bytes)
                if max_bytes is not None and len(data) > max_bytes:
                    raise ObjectTooLargeError(f"{key} has more than {max_bytes} bytes")
            except BaseException:
                response.close()  # an unread body would poison the connection for the next request
                raise
            response.release_conn()
            return data

    def head(self, key: str, size: int) -> bytes:
        """One GET of a range."""
        bucket, name = locate_object(key, self.bucket)
        with self._translated(key):
            try:
                response = self._client.get_object(bucket, name, length=size)
            except S3Error as error:
                if error.code == "InvalidRange":  # it has no bytes
                    return b""
                raise
            try:
                return _body(response, size)[:size]
            finally:
                response.close()  # a server may send more than was asked for

    def stat(self, key: str) -> Stat | None:
        """One HEAD."""
        bucket, name = locate_object(key, self.bucket)
        try:
            with self._translated(key):
                return _stat(self._client.stat_object(bucket, name))
        except NotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """One request per thousand objects, as the iterator is consumed."""
        bucket, name = locate(prefix, self.bucket)
        front = f"{SCHEME}{bucket}/" if prefix.startswith(SCHEME) else ""
        with self._translated(prefix):
            for entry in self._client.list_objects(bucket, name, recursive=True):
                if not entry.is_dir:
                    yield front + str(entry.object_name), _stat(entry)

    def delete(self, keys: Iterable[str]) -> None:
        """One request per thousand keys."""
        names = (DeleteObject(own_key(key)) for key in keys)
        with self._translated(self.bucket):
            for failure in self._client.remove_objects(self.bucket, names):
                if failure.code not in _MISSING:
                    raise _refusal(failure.code, failure.name or "", self._endpoint) or CamqError(
                        f"S3 at {self._endpoint} does not delete {failure.name}: {failure.message}"
                    )

    def presigned_get(self, key: str, expires_s: int) -> str:
        """Signed here, without a request."""
        bucket, name = locate_object(key, self.bucket)
        return str(self._client.presigned_get_object(bucket, name, timedelta(seconds=expires_s)))

    def check(self) -> None:
        """One HEAD on the bucket, over a connection that gives up soon."""
        with self._translated(self.bucket):
            if self._probe.bucket_exists(self.bucket):
                return
        raise UsageError(
            f"there is no bucket {self.bucket!r} at {self._endpoint}{self._others()}: set CAMQ_BUCKET to the bucket of"
            " your workers, or start `camq up` or a worker, which creates it"
        )

    def _others(self) -> str:
        """The buckets that these credentials may see, for a message."""
        with suppress(S3Error, ServerError, InvalidResponseError, urllib3.exceptions.HTTPError):
            if names := [entry.name for entry in self._probe.list_buckets()]:
                return f"; there are {', '.join(names[:_NAMED])}{' and more' if len(names) > _NAMED else ''}"
        return ""

    def ensure_bucket(self) -> None:
        """Two producers may do this at once."""
        with self._translated(self.bucket):
            if self._probe.bucket_exists(self.bucket):
                return
            try:
                self._client.make_bucket(self.bucket)
            except S3Error as error:
                if error.code not in _OURS_ALREADY:
                    raise

    def close(self) -> None:
        """Close the idle connections."""
        for client in (self._client, self._probe):
            client._http.clear()

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Foreign errors that callers act upon become ours, here and nowhere else; others pass through."""
        try:
            yield
        except S3Error as error:
            if error.code in _BUSY or error.response.status in _BUSY_STATUS:
                raise self._unreachable(f"is busy ({error.code})") from error
            if error.code == "NoSuchBucket" and not what.startswith(SCHEME):
                # Everything of ours is in it: a volume that is not mounted, or a wrong name, and no picture's fault.
                raise self._unreachable(f"has no bucket {self.bucket!r}: create it, or set CAMQ_BUCKET") from error
            known = _refusal(error.code, what, self._endpoint)
            if known is None:
                raise
            raise known from error
        except ServerError as error:
            if error.status_code not in _BUSY_STATUS:
                raise
            raise self._unreachable(f"answers HTTP {error.status_code}") from error
        except InvalidResponseError as error:
            raise self._unreachable("answers, but not as an S3 server does") from error
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error  # what was behind the last of several attempts
            cause = str(reason.args[-1]) if reason.args else str(reason)
            raise self._unreachable(f"does not answer: {cause.rpartition(': ')[2]}") from error

    def _unreachable(self, fault: str) -> UnreachableError:
        return UnreachableError(f"S3 storage at {self._endpoint} {fault}")


def _body(response: urllib3.BaseHTTPResponse, most: int | None) -> bytes:
    """The bytes as they are stored, one more than `most` at most: the header about their length may be missing, and
    a gzip encoding that it names would make many of few."""
    if most is None:
        return response.read(decode_content=False)
    blocks, left = [], most + 1
    while left and (block := response.read(left, decode_content=False)):
        blocks.append(block)
        left -= len(block)
    return b"".join(blocks)


def _stat(entry: Object) -> Stat:
    return Stat(entry.size or 0, entry.last_modified or datetime.fromtimestamp(0, UTC))


def _refusal(code: str | None, what: str, endpoint: str) -> CamqError | None:
    """Our error for an S3 code that means the request is in vain for now, or None."""
    if code in _MISSING:
        return NotFoundError(f"nothing under {what!r} at {endpoint} ({code})")
    if code == "InvalidObjectState":
        return UnavailableError(f"{what!r} at {endpoint} is in cold storage ({code}): restore it, then retry")
    if code in _WRONG_REGION and what.startswith(SCHEME):
        return UnavailableError(f"{what!r} is not in the region CAMQ_S3_REGION ({code} from {endpoint})")
    for codes, kind, check in _REFUSALS:
        if code in codes:
            return kind(f"S3 storage at {endpoint} refuses access to {what!r} ({code}): check {check}")
    return None
