"""Which pictures storage is asked about before they are sent."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from producer.inputs.source import BytesSource
from producer.submission import upload
from shared import keys
from shared.storage import Stat
from tests.support.jobs.submitting import CountingStore


class AskedStore(CountingStore):
    """Also remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def stat(self, key: str) -> Stat | None:
        self.asked.append(key)
        return super().stat(key)


@pytest.fixture
def store() -> AskedStore:
    return AskedStore()


def picture(number: int, size: int = 100) -> bytes:
    return b"GIF89a\0\0" + number.to_bytes(4, "big") * (size // 4 - 2)


def key(data: bytes) -> str:
    return keys.input_object(sha256(data).hexdigest())


def send(store: AskedStore, pictures: Iterable[bytes]) -> None:
    """All of them by one uploader."""

    def at_once(call: Callable[[], object]) -> object:
        return call()

    uploader = upload.Uploader(store, limit=1 << 30, patient=at_once)
    for index, data in enumerate(pictures):
        assert uploader((index, BytesSource("a.jpg", data))).key == key(data)


def test_of_many_new_pictures_few_are_asked_for(store: AskedStore) -> None:
    """A question costs half as much as a small picture; each is stored all the same."""
    new = [picture(number) for number in range(400)]

    send(store, new)

    assert store.written == [key(data) for data in new]
    assert len(store.asked) == upload.SENT_IN_A_ROW + (400 - upload.SENT_IN_A_ROW) // upload.ASK_ONE_IN


def test_the_same_pictures_again_are_not_sent(store: AskedStore) -> None:
    """However many: each is asked for, as the first of them were there."""
    same = [picture(number) for number in range(400)]
    send(store, same)
    store.written.clear()

    send(store, same)

    assert store.written == []


def test_known_pictures_behind_new_ones_are_noticed(store: AskedStore) -> None:
    """A few are sent once more before the next question; from then on each is asked for, between new ones too."""
    known = [picture(number) for number in range(40)]
    send(store, known)
    for new in range(100, 100 + 2 * upload.ASK_ONE_IN):  # wherever the last question fell
        fresh = [picture(1_000_000 * new + number) for number in range(new + 1)]
        store.written.clear()

        send(store, [*fresh[1:], *known[:20], fresh[0], *known[20:]])

        assert len(fresh) <= len(store.written) < len(fresh) + upload.ASK_ONE_IN


def test_a_large_picture_is_always_asked_for(store: AskedStore) -> None:
    """On a thin line sending it would take minutes, and a question costs what it costs."""
    large = picture(1, upload.ALWAYS_ASK_FROM)
    send(store, [large])
    store.written.clear()

    send(store, [*(picture(number) for number in range(100, 205)), large])

    assert key(large) not in store.written


def test_pictures_that_are_old_do_not_bring_the_questions_back(store: AskedStore) -> None:
    """They are sent again for `camq gc`, so a question saves nothing, and they are young afterwards."""
    old = [picture(number) for number in range(100)]
    send(store, old)
    stamps = store.buckets[store.bucket]
    for name, (data, modified) in list(stamps.items()):
        stamps[name] = data, modified - 2 * upload.WRITE_AGAIN_AFTER
    store.written.clear()
    store.asked.clear()

    send(store, old)

    assert store.written == [key(data) for data in old]
    assert len(store.asked) < len(old)
    assert all(datetime.now(UTC) - modified < upload.WRITE_AGAIN_AFTER for _, modified in stamps.values())
