"""Pictures on an S3 server, read in place."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

from producer.inputs.left_out import LeftOut
from producer.inputs.source import FailedSource, ObjectSource, Source, split_page
from producer.inputs.wanted import HEAD_BYTES, is_wanted, named_like_a_picture
from shared.errors import NotFoundError, UsageError
from shared.storage.port import ObjectStore

#: Objects of one ending that are looked into; where none of them is a picture, the others are not asked for: a request
#: each for a million text files beside a million pictures would take hours.
MOST_ASKED = 8


def objects(address: str, store: ObjectStore, left_out: LeftOut) -> Iterator[Source]:
    """The object of this address, its page as `ADDRESS#n`, or the pictures below it. An object without an ending in its
    name is taken unseen.

    UsageError when there is no such bucket.
    """
    try:
        one = None if address.endswith("/") else store.stat(address)
        if one is not None:
            yield ObjectSource(address, one.size)
            return
        file, page = split_page(address)
        if page is not None and (one := store.stat(file)) is not None:
            yield ObjectSource(address, one.size, page=page)
            return
        found = False
        rule = _Rule(store, left_out)
        for key, stat in store.list(address):
            if rule.wants(key, stat.size):
                found = True
                yield ObjectSource(key, stat.size)
    except NotFoundError as error:
        raise UsageError(f"cannot list {address!r}: {error}") from error
    if not found and named_like_a_picture(address):
        yield FailedSource(address, f"there is no object {address}")


class _Rule:
    """The rule of all inputs, with a bound for how often storage is asked."""

    def __init__(self, store: ObjectStore, left_out: LeftOut) -> None:
        self._store = store
        self._left_out = left_out
        #: Objects of each ending that were no pictures, and endings of which one was.
        self._refused: Counter[str] = Counter()
        self._mixed: set[str] = set()

    def wants(self, key: str, size: int) -> bool:
        suffix = PurePosixPath(key).suffix.lower()
        if not suffix or named_like_a_picture(key):
            return True
        if not size or (self._refused[suffix] >= MOST_ASKED and suffix not in self._mixed):
            self._left_out.file(key)
            return False
        if is_wanted(key, partial(self._head, key), self._left_out):
            self._mixed.add(suffix)
            return True
        self._refused[suffix] += 1
        return False

    def _head(self, key: str) -> bytes:
        try:
            return self._store.head(key, HEAD_BYTES)
        except NotFoundError:  # deleted since it was listed
            return b""
