"""References of a few pictures travel in the ledger: they save a request, and count only where they must be true."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared import keys
from shared.contract import ErrorInfo, ImageRef, ImageState, encode_lines
from shared.ledger import Claim
from tests.support.worker.chunk_desk import IMAGES, MESSAGE, Desk
from worker.chunk.pipeline import Outcome

OURS = [keys.input_object(f"{number:064x}") for number in range(IMAGES)]


def raw(*places: str) -> bytes:
    return encode_lines([ImageRef(index=index, source="carried", key=key) for index, key in enumerate(places)])


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Storage has these references too, under another name, so that a test sees which were taken."""
    made = Desk()
    made.store.put(
        keys.chunk_object("job", "000000"),
        encode_lines([ImageRef(index=index, source="stored", key=key) for index, key in enumerate(OURS)]),
    )
    yield made
    made.pipeline.close()


def sources(desk: Desk, carried: bytes, digest: str) -> set[str]:
    """Where the references came from that the chunk was worked off with."""
    assert isinstance(desk.ledger.claimed, Claim)
    desk.ledger.claimed = replace(desk.ledger.claimed, carried=carried, digest=digest)
    assert desk.pipeline.run(MESSAGE) is Outcome.DONE
    return {record.source for record in desk.results()}


def test_carried_references_are_taken_without_asking_storage(desk: Desk) -> None:
    """Storage has not even got them."""
    desk.store.delete([keys.chunk_object("job", "000000")])
    carried = raw(*OURS)
    assert sources(desk, carried, hashlib.sha256(carried).hexdigest()) == {"carried"}
    assert desk.ledger.committed == [ImageState.SUCCEEDED] * IMAGES


def test_those_of_another_chunk_of_the_job_are_left_alone(desk: Desk) -> None:
    """A job keeps those of one chunk; the digest says whose they are."""
    stored = desk.store.get(keys.chunk_object("job", "000000"))
    assert sources(desk, raw(*OURS), hashlib.sha256(stored).hexdigest()) == {"stored"}


@pytest.mark.parametrize("other", ["s3://private/photo.png", "jobs/other/overlays/0.jpg", f"{OURS[0]}/../x", ""])
def test_those_that_name_anything_but_uploaded_pictures_are_not_believed(desk: Desk, other: str) -> None:
    """Whoever can write to Redis alone could else have any object fetched; what lies in the bucket counts."""
    carried = raw(*OURS[1:], other)
    desk.store.delete([keys.chunk_object("job", "000000")])
    assert sources(desk, carried, hashlib.sha256(carried).hexdigest()) == {""}
    assert desk.ledger.committed == [ImageState.FAILED] * IMAGES


def test_a_picture_that_could_not_be_uploaded_is_carried_with_its_reason(desk: Desk) -> None:
    """It has no key, and nothing is fetched for it."""
    lines = [ImageRef(index=0, source="carried", error=ErrorInfo("not_an_image", "notes.txt is text"))]
    lines += [ImageRef(index=index, source="carried", key=key) for index, key in enumerate(OURS[1:], 1)]
    carried = encode_lines(lines)
    assert sources(desk, carried, hashlib.sha256(carried).hexdigest()) == {"carried"}
