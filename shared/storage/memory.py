"""The memory adapter: for tests that declare it. It passes the same suite as the S3 adapter."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from shared.errors import NotFoundError, ObjectTooLargeError, UnreachableError, UsageError
from shared.storage.port import SCHEME, Stat, locate, locate_object, own_key

#: Key → bytes, and when they were put.
Objects = dict[str, tuple[bytes, datetime]]


class MemoryStore:
    """Objects in a dictionary per bucket. Stores given the same `buckets` see each other's objects."""

    def __init__(self, bucket: str = "camq", buckets: dict[str, Objects] | None = None) -> None:
        self.bucket = bucket
        self.buckets = {} if buckets is None else buckets

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:  # noqa: ARG002
        """The content type is forgotten."""
        bucket, name = locate_object(key, self.bucket)
        self._objects(bucket)[name] = bytes(data), datetime.now(UTC)

    def get(self, key: str, max_bytes: int | None = None) -> bytes:
        """The very bytes that were put."""
        bucket, name = locate_object(key, self.bucket)
        objects = self._objects(bucket)
        try:
            data, _ = objects[name]
        except KeyError:
            raise NotFoundError(f"nothing under {key!r}") from None
        if max_bytes is not None and len(data) > max_bytes:
            raise ObjectTooLargeError(f"{key} has {len(data)} bytes; the limit is {max_bytes}")
        return data

    def head(self, key: str, size: int) -> bytes:
        """Of the very bytes that were put."""
        return self.get(key)[:size]

    def stat(self, key: str) -> Stat | None:
        """A missing bucket holds nothing."""
        bucket, name = locate_object(key, self.bucket)
        found = self.buckets.get(bucket, {}).get(name)
        return None if found is None else Stat(len(found[0]), found[1])

    def list(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """What was there when the iteration began."""
        bucket, name = locate(prefix, self.bucket)
        front = f"{SCHEME}{bucket}/" if prefix.startswith(SCHEME) else ""
        for key, (data, modified) in sorted(self._objects(bucket).items()):
            if key.startswith(name):
                yield front + key, Stat(len(data), modified)

    def delete(self, keys: Iterable[str]) -> None:
        """One that is not there is no error."""
        for key in keys:
            self._objects(self.bucket).pop(own_key(key), None)

    def presigned_get(self, key: str, expires_s: int) -> str:
        """A word that looks like a URL; nothing serves it."""
        bucket, name = locate_object(key, self.bucket)
        return f"memory://{bucket}/{name}?until={int(time.time()) + expires_s}"

    def check(self) -> None:
        """Memory always answers; the bucket may be missing."""
        if self.bucket not in self.buckets:
            raise UsageError(f"there is no bucket {self.bucket!r}")

    def ensure_bucket(self) -> None:
        """An empty dictionary."""
        self.buckets.setdefault(self.bucket, {})

    def close(self) -> None:
        """Nothing to give back."""

    def _objects(self, bucket: str) -> Objects:
        try:
            return self.buckets[bucket]
        except KeyError:
            kind = UnreachableError if bucket == self.bucket else NotFoundError
            raise kind(f"there is no bucket {bucket!r}") from None
