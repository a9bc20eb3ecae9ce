"""The S3 adapter: plain S3 calls only, so that any S3 server will do."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Self, TypeVar
from xml.etree import ElementTree

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
from shared.storage.clients import Account, input_account, own_account, public_account
from shared.storage.http import http_pool, probe_pool
from shared.storage.port import SCHEME, Stat, locate, locate_object, own_key
from shared.storage.refusals import BUSY, BUSY_STATUS, FULL, MISSING, refusal

T = TypeVar("T")

#: A proxy's login page, a web server, or the server's own console at another port.
_NOT_S3 = "answers, but not as an S3 server does: check CAMQ_S3_ENDPOINT and CAMQ_S3_SECURE"
_OURS_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
#: The client splits larger bodies into parts, three requests at least; below 5 GB S3 takes one PUT.
_MIN_PART = 5 * 1024 * 1024
#: Written where the bucket itself may not be asked for: only writing shows that it can be used.
_PROOF, _PROVEN = "jobs/camq-check/check.json", b"{}"
#: Buckets named in a message.
_NAMED = 10


class S3Store:
    """Objects on an S3 server. One store per process; its threads share the connections."""

    def __init__(
        self,
        client: Minio,
        probe: Minio,
        *,
        bucket: str,
        account: Account,
        signer: Minio,
        inputs: tuple[Account, Minio] | None = None,
    ) -> None:
        self.bucket = bucket
        self._client = client
        self._probe = probe
        self._account = account
        self._endpoint = account.endpoint
        #: Signs links, for the address at which browsers find the server.
        self._signer = signer
        #: Reads addresses outside our bucket, where another account is set for them.
        self._input_account, self._inputs = inputs or (account, client)
        #: The rights do not include listing: then what is not there is refused like what may not be read.
        self._may_list = True
        self._is_s3 = False  # not yet proven

    @classmethod
    def from_settings(cls, settings: Settings, pool_size: int = 32) -> Self:
        """The store that the settings name. Connects to nothing yet.

        `pool_size` is the number of threads that use the store at once. Raises UsageError for an endpoint
        that is not `host:port` and for a bucket name that S3 does not allow.
        """
        locate(f"{SCHEME}{settings.bucket}/", "")
        account, elsewhere = own_account(settings), input_account(settings)
        pool = http_pool(pool_size)
        return cls(
            account.client(pool),
            account.client(probe_pool()),
            bucket=settings.bucket,
            account=account,
            signer=public_account(settings).client(pool),
            inputs=(elsewhere, elsewhere.client(http_pool(pool_size))) if elsewhere else None,
        )

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """One PUT, whatever the size."""
        bucket, name = locate_object(key, self.bucket)
        with self._translated(key):
            stored = self._client.put_object(
                bucket, name, io.BytesIO(data), len(data), content_type, part_size=max(len(data), _MIN_PART)
            )
        if not stored.etag:  # HTTP 200 of whatever answers anything so: nothing was stored
            raise UnreachableError(f"S3 storage at {self._endpoint} {_NOT_S3}")

    def get(self, key: str, max_bytes: int | None = None) -> bytes:
        """One GET; its length is looked at before the body is read."""
        return self._read(key, lambda client, bucket, name: self._get(client, bucket, name, key, max_bytes))

    def _get(self, client: Minio, bucket: str, name: str, key: str, max_bytes: int | None) -> bytes:
        response = client.get_object(bucket, name)
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
        return self._read(key, lambda client, bucket, name: self._head(client, bucket, name, size))

    def _head(self, client: Minio, bucket: str, name: str, size: int) -> bytes:
        try:
            response = client.get_object(bucket, name, length=size)
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
        try:
            return self._read(key, lambda client, bucket, name: _stat(client.stat_object(bucket, name)))
        except NotFoundError:
            return None
        except CredentialsError:
            raise
        except DeniedError:
            if self._may_list or key.startswith(SCHEME):
                raise
            return None

    def _read(self, key: str, request: Callable[[Minio, str, str], T]) -> T:
        """One request that reads. An address outside our bucket may be a picture's, or that of a job's own output."""
        bucket, name = locate_object(key, self.bucket)
        if self._inputs is self._client or bucket == self.bucket:
            with self._translated(key):
                return request(self._client, bucket, name)
        try:
            with self._translated(key, self._input_account):
                return request(self._inputs, bucket, name)
        except (NotFoundError, DeniedError, UnavailableError):
            with suppress(CamqError), self._translated(key):
                return request(self._client, bucket, name)
            raise

    def list(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """One request per thousand objects, as the iterator is consumed."""
        bucket, name = locate(prefix, self.bucket)
        front = f"{SCHEME}{bucket}/" if prefix.startswith(SCHEME) else ""
        own = bucket == self.bucket
        client, account = (self._client, self._account) if own else (self._inputs, self._input_account)
        with self._translated(prefix, account):
            for entry in client.list_objects(bucket, name, recursive=True):
                if not entry.is_dir:
                    yield front + str(entry.object_name), _stat(entry)

    def delete(self, keys: Iterable[str]) -> None:
        """One request per thousand keys."""
        names = (DeleteObject(own_key(key)) for key in keys)
        with self._translated(self.bucket):
            for failure in self._client.remove_objects(self.bucket, names):
                if failure.code not in MISSING:
                    raise refusal(
                        failure.code, failure.name or "", bucket=self.bucket, account=self._account, answer=failure
                    )

    def presigned_get(self, key: str, expires_s: int) -> str:
        """Signed here, without a request, for CAMQ_S3_PUBLIC_ENDPOINT where it is set."""
        bucket, name = locate_object(key, self.bucket)
        return str(self._signer.presigned_get_object(bucket, name, timedelta(seconds=expires_s)))

    def check(self) -> None:
        """One HEAD on the bucket, over a connection that gives up soon; where that is refused, one on an object."""
        if self._exists():
            return
        raise UsageError(
            f"there is no bucket {self.bucket!r} at {self._endpoint}{self._others()}: set CAMQ_BUCKET to the bucket of"
            " your workers, or start `camq up` or a worker, which creates it"
        )

    def _exists(self) -> bool:
        """Whether the bucket is there. Rights to its objects alone are enough, and do not include asking for it."""
        try:
            with self._translated(self.bucket):
                found = self._probe.bucket_exists(self.bucket)
                self._prove_s3()
                return found
        except CredentialsError:
            raise
        except DeniedError as refused:
            try:
                with self._translated(_PROOF):
                    self._probe.put_object(self.bucket, _PROOF, io.BytesIO(_PROVEN), len(_PROVEN), "application/json")
            except DeniedError:
                raise refused from None
            self._may_list = False
            return True

    def _prove_s3(self) -> None:
        """One GET, once: a web server with a page for each address says yes to a HEAD. UnreachableError then."""
        if self._is_s3:
            return
        try:
            response = self._probe.get_object(self.bucket, _PROOF)
        except S3Error:  # in the XML of one, whatever it says
            self._is_s3 = True
            return
        with closing(response):
            self._is_s3 = response.read(len(_PROVEN) + 1) == _PROVEN
        if not self._is_s3:
            raise UnreachableError(f"S3 storage at {self._endpoint} {_NOT_S3}")

    def _others(self) -> str:
        """The buckets that these credentials may see, for a message."""
        with suppress(S3Error, ServerError, InvalidResponseError, ElementTree.ParseError, urllib3.exceptions.HTTPError):
            if names := [entry.name for entry in self._probe.list_buckets()]:
                return f"; there are {', '.join(names[:_NAMED])}{' and more' if len(names) > _NAMED else ''}"
        return ""

    def ensure_bucket(self) -> None:
        """Two producers may do this at once."""
        if self._exists():
            return
        with self._translated(self.bucket):
            try:
                self._client.make_bucket(self.bucket)
            except S3Error as error:
                if error.code in _OURS_ALREADY:
                    return
                if error.code == "AccessDenied":
                    raise UsageError(
                        f"there is no bucket {self.bucket!r} at {self._endpoint}, and CAMQ_S3_ACCESS_KEY may not create"
                        " it: create it, or set CAMQ_BUCKET"
                    ) from error
                raise

    def close(self) -> None:
        """Close the idle connections."""
        for client in (self._client, self._probe, self._inputs):
            client._http.clear()

    @contextmanager
    def _translated(self, what: str, account: Account | None = None) -> Iterator[None]:
        """Foreign errors become ours, here and nowhere else."""
        account = account or self._account
        where = f"S3 storage at {account.endpoint}"
        try:
            yield
        except S3Error as error:
            if error.code in BUSY or error.response.status in BUSY_STATUS:
                fault = "has no space left: make room" if error.response.status == FULL else "is busy"
                raise UnreachableError(f"{where} {fault} ({error.code})") from error
            if error.code == "NoSuchBucket" and not what.startswith(SCHEME):
                # Everything of ours is in it: a volume that is not mounted, or a wrong name, and no picture's fault.
                fault = f"has no bucket {self.bucket!r}: create it, or set CAMQ_BUCKET"
                raise UnreachableError(f"{where} {fault}") from error
            raise refusal(error.code, what, bucket=self.bucket, account=account, answer=error) from error
        except ServerError as error:
            full = ": it has no space left, make room" if error.status_code == FULL else ""
            raise UnreachableError(f"{where} answers HTTP {error.status_code}{full}") from error
        except (InvalidResponseError, ElementTree.ParseError) as error:
            raise UnreachableError(f"{where} {_NOT_S3}") from error
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error  # what was behind the last of several attempts
            cause = str(reason.args[-1]) if reason.args else str(reason)
            said = " ".join(cause.rpartition(": ")[2].split())[:200]
            raise UnreachableError(f"{where} does not answer: {said}") from error


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
