"""The object-store port: what camq asks of storage, and how an address is read."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from shared.errors import UsageError

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Stat(NamedTuple):
    """What is known of an object without reading it: bytes, and when it was last written (UTC)."""

    size: int
    modified: datetime


@runtime_checkable
class ObjectStore(Protocol):
    """Bytes under keys in camq's bucket; a full `s3://bucket/key` address is read and written as well, never deleted.

    Every method may raise UnreachableError, also when the own bucket is gone (waiting the outage out is the caller's
    matter), DeniedError (access refused; CredentialsError when it would be to everything), UnavailableError, and
    UsageError (address impossible). Adapters are safe to share between threads.
    """

    bucket: str

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Store `data` under `key`. Whole or not at all; an older object is replaced. NotFoundError: no such bucket."""

    def get(self, key: str, max_bytes: int | None = None) -> bytes:
        """The object's bytes. Raises NotFoundError, and ObjectTooLargeError before the body is read."""

    def head(self, key: str, size: int) -> bytes:
        """The object's first bytes, `size` at most. Raises NotFoundError."""

    def stat(self, key: str) -> Stat | None:
        """The object's size and age, or None where there is none."""

    def list(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """Key, size and age of each object under `prefix`, in key order; addresses for an address."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects from camq's bucket. One that is not there is no error."""

    def presigned_get(self, key: str, expires_s: int) -> str:
        """A URL that reads the object without credentials for `expires_s` seconds (at most a week)."""

    def check(self) -> None:
        """Raise within five seconds what is wrong, if anything.

        UnreachableError when storage does not answer, UsageError when the bucket does not exist.
        """

    def ensure_bucket(self) -> None:
        """Create camq's bucket unless it is there."""

    def close(self) -> None:
        """Give back connections; the store is not used afterwards."""


def locate(key: str, bucket: str) -> tuple[str, str]:
    """Bucket and key that `key` means: an `s3://bucket/key` address, or a key in `bucket`.

    No URL parser: `?`, `#` and `%` are ordinary characters of a key. The key is empty for a whole bucket.
    Raises UsageError for a bucket name that S3 does not allow.
    """
    if not key.startswith(SCHEME):
        return bucket, key
    bucket, _, key = key.removeprefix(SCHEME).partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"not a bucket name: {bucket!r}; an address looks like s3://bucket/key")
    return bucket, key


def locate_object(key: str, bucket: str) -> tuple[str, str]:
    """Like `locate`, for one object: refuses keys that no HTTP client can ask for."""
    bucket, name = locate(key, bucket)
    if not name or {".", ".."} & set(name.split("/")):
        raise UsageError(f"not an object key: {key!r}; it is empty or has a '.' or '..' between slashes")
    return bucket, name


def own_key(key: str) -> str:
    """A key to delete. Raises ValueError for an address: camq deletes in its own bucket only."""
    if key.startswith(SCHEME):
        raise ValueError(f"{key!r} is an address; camq deletes in its own bucket only")
    return key
