"""One suite for every object store: what holds for the memory adapter holds on a real S3 server."""

import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec
import pytest

from shared.config import Settings
from shared.errors import NotFoundError, ObjectTooLargeError, UnreachableError, UsageError
from shared.storage import MemoryStore, ObjectStore, S3Store
from shared.storage.port import locate

_numbers = count()

ODD_KEYS = [
    "a b/c d.jpg",
    "plus+and%20percent.jpg",
    "Überraschung/猫🐈.png",
    'it\'s "quoted" & <tagged>.jpg',
    "question?mark#hash;semi=equals.jpg",
    "~tilde!(paren)*star$.jpg",
    "back\\slash.jpg",
    "k" * 200,
]


@dataclass(frozen=True)
class Stores:
    """Opens stores that share one server, and gives each test a bucket of its own."""

    open: Callable[[str], ObjectStore]
    bucket: str


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.servers)])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    bucket = f"test-{next(_numbers)}"
    if request.param == "memory":
        buckets: dict[str, dict[str, bytes]] = {}
        yield Stores(lambda name: MemoryStore(name, buckets), bucket)
        return
    settings: Settings = request.getfixturevalue("settings")
    opened: list[S3Store] = []

    def open_store(name: str) -> S3Store:
        opened.append(S3Store.from_settings(msgspec.structs.replace(settings, bucket=name)))
        return opened[-1]

    yield Stores(open_store, bucket)
    for store in opened:
        store.close()


@pytest.fixture
def store(stores: Stores) -> ObjectStore:
    store = stores.open(stores.bucket)
    store.ensure_bucket()
    return store


def test_what_is_put_is_got(store: ObjectStore) -> None:
    """An object's bytes come back as they were."""
    store.put("a/b", b"\x00\xff bytes", "image/png")
    assert store.get("a/b") == b"\x00\xff bytes"
    assert isinstance(store, ObjectStore)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_kept_to_the_letter(store: ObjectStore, key: str) -> None:
    """A key survives put, get, stat, list and delete, whatever characters it has."""
    store.put(f"odd/{key}", b"x")
    assert store.get(f"odd/{key}") == b"x"
    assert store.get(f"s3://{store.bucket}/odd/{key}") == b"x"
    assert size(store, f"odd/{key}") == 1
    assert sizes(store, "odd/") == [(f"odd/{key}", 1)]
    store.delete([f"odd/{key}"])
    assert store.stat(f"odd/{key}") is None


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    """Zero bytes are there, unlike nothing."""
    store.put("empty", b"")
    assert store.get("empty") == b""
    assert size(store, "empty") == 0


def test_a_big_object_comes_back_whole(store: ObjectStore) -> None:
    """Twenty megabytes, more than the client would send in one part by itself."""
    data = bytes(range(256)) * 80_000
    store.put("big", data)
    assert size(store, "big") == len(data)
    assert store.get("big") == data


def test_a_second_put_replaces_the_first(store: ObjectStore) -> None:
    """Writing twice leaves the second object alone, even when it is shorter."""
    store.put("twice", b"a longer first version")
    store.put("twice", b"second")
    assert store.get("twice") == b"second"
    assert sizes(store, "twice") == [("twice", 6)]


def test_a_missing_object_is_not_found(store: ObjectStore) -> None:
    """`get` raises, `stat` says None, `delete` does not mind."""
    with pytest.raises(NotFoundError, match="no/such"):
        store.get("no/such")
    assert store.stat("no/such") is None
    store.delete(["no/such"])


@pytest.mark.slow
def test_a_listing_goes_beyond_a_thousand_keys_in_order(store: ObjectStore) -> None:
    """S3 answers in pages of a thousand; the listing hides that, and so does the deletion."""
    keys = [f"many/{index:05}" for index in range(2_100)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.put(key, key.encode()), keys))
    assert sizes(store, "many/") == [(key, 10) for key in keys]
    store.delete(key for key, _ in store.list("many/"))
    assert list(store.list("many/")) == []


def test_a_prefix_need_not_end_at_a_slash(store: ObjectStore) -> None:
    """A prefix is the beginning of a key, not a folder."""
    for key in ("p/cat-1", "p/cat-2", "p/dog-1", "q/cat-3"):
        store.put(key, b".")
    assert [key for key, _ in store.list("p/cat")] == ["p/cat-1", "p/cat-2"]
    assert len(list(store.list(""))) == 4
    assert list(store.list("nothing/")) == []


def test_objects_of_another_bucket_are_read_in_place(stores: Stores, store: ObjectStore) -> None:
    """A full address works wherever an object is read, and a listing by address gives addresses."""
    other = stores.open(f"{stores.bucket}-other")
    other.ensure_bucket()
    other.put("in/1.jpg", b"picture")
    address = f"s3://{stores.bucket}-other/in/1.jpg"
    assert sizes(store, f"s3://{stores.bucket}-other/in/") == [(address, 7)]
    assert store.get(address) == b"picture"
    assert size(store, address) == 7
    assert store.stat("in/1.jpg") is None


def test_another_bucket_is_written_by_address(stores: Stores, store: ObjectStore) -> None:
    """As it is read; a bucket that is not there is not made."""
    other = stores.open(f"{stores.bucket}-other")
    other.ensure_bucket()
    store.put(f"s3://{other.bucket}/out/1.jpg", b"overlay", "image/jpeg")
    assert other.get("out/1.jpg") == b"overlay"
    assert store.stat("out/1.jpg") is None
    with pytest.raises(NotFoundError, match="none"):
        store.put(f"s3://{stores.bucket}-none/key", b"")


def test_only_its_own_bucket_is_deleted_from(store: ObjectStore) -> None:
    """An address where a key belongs is a mistake of the program, not a request."""
    with pytest.raises(ValueError, match="own bucket"):
        store.delete(["s3://else/key"])


@pytest.mark.parametrize("address", ["s3://", "s3://UPPER/key", "s3://b/key", "s3://bucket/", "a/../b", ""])
def test_an_impossible_address_is_a_usage_error(store: ObjectStore, address: str) -> None:
    """The user's typing mistake is told as such, before any request."""
    with pytest.raises(UsageError, match=r"bucket name|object key"):
        store.get(address)


def test_an_object_above_the_limit_is_not_downloaded(store: ObjectStore) -> None:
    """The limit itself is allowed; after a refusal the store works on."""
    store.put("limit", b"12345")
    assert store.get("limit", max_bytes=5) == b"12345"
    with pytest.raises(ObjectTooLargeError, match="5 bytes; the limit is 4"):
        store.get("limit", max_bytes=4)
    assert store.get("limit") == b"12345"


@pytest.mark.parametrize("size", [1, 5, 99])
def test_the_first_bytes_of_an_object_are_read_alone(store: ObjectStore, size: int) -> None:
    """As many as it has; an empty one has none."""
    store.put("first", b"12345")
    store.put("empty", b"")

    assert store.head("first", size) == b"12345"[:size]
    assert store.head(f"s3://{store.bucket}/first", size) == b"12345"[:size]
    assert store.head("empty", size) == b""
    with pytest.raises(NotFoundError):
        store.head("no/such", size)


def test_check_tells_a_missing_bucket_and_ensure_makes_it(stores: Stores) -> None:
    """A store can be opened before its bucket is there. Without it nothing is missing: storage is away."""
    store = stores.open(stores.bucket)
    with pytest.raises(UsageError, match=f"no bucket '{stores.bucket}'"):
        store.check()
    for ask in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: list(store.list(""))):
        with pytest.raises(UnreachableError, match=stores.bucket):
            ask()
    store.ensure_bucket()
    store.ensure_bucket()
    store.check()


def test_many_threads_share_one_store(store: ObjectStore) -> None:
    """Sixteen threads write and read their own objects without mixing them up."""

    def work(index: int) -> bool:
        store.put(f"t/{index}", bytes([index % 256]) * 1000)
        return store.get(f"t/{index}") == bytes([index % 256]) * 1000

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(work, range(200)))


def test_an_object_tells_when_it_was_written(store: ObjectStore) -> None:
    """`gc` deletes by age: a second put makes an object young again, and listings say the same as `stat`."""
    before = datetime.now(UTC) - timedelta(seconds=2)  # servers round to seconds
    store.put("aged", b"1")
    stat = store.stat("aged")

    assert stat is not None
    assert before <= stat.modified <= datetime.now(UTC) + timedelta(seconds=2)
    (listed,) = [found for _, found in store.list("aged")]
    assert abs(listed.modified - stat.modified) < timedelta(seconds=2)


def sizes(store: ObjectStore, prefix: str) -> list[tuple[str, int]]:
    return [(key, stat.size) for key, stat in store.list(prefix)]


def size(store: ObjectStore, key: str) -> int | None:
    stat = store.stat(key)
    return None if stat is None else stat.size


def test_locate_reads_an_address_without_a_url_parser() -> None:
    """`?`, `#` and `%` belong to the key; a plain key belongs to the given bucket."""
    assert locate("s3://photos/a?b#c%20d", "camq") == ("photos", "a?b#c%20d")
    assert locate("s3://photos", "camq") == ("photos", "")
    assert locate("jobs/1", "camq") == ("camq", "jobs/1")


@pytest.mark.servers
def test_a_presigned_url_needs_no_credentials(s3_store: S3Store) -> None:
    """Any HTTP client reads the object with it, and the secret key is not in it."""
    s3_store.put("signed/a b&c.jpg", b"picture", "image/jpeg")
    url = s3_store.presigned_get("signed/a b&c.jpg", 60)
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"picture"
        assert response.headers["Content-Type"] == "image/jpeg"
