"""The user's own id and fields per image: from the submission into every result, whatever became of the image."""

import json
from pathlib import Path

import pytest

from producer import Client
from producer.inputs.expand import Expansion
from producer.inputs.notes import LONGEST_ID
from producer.results.records import record_at, records
from producer.services import Services
from shared import keys
from shared.contract import ImageRecord, ImageRef, ImageState, encode
from shared.errors import UsageError
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore, pictures

IDS = ("k-1", "k-2", "k-3", "k-4", "k-5")


def names(given: object) -> list[tuple[str | None, str]]:
    return [(source.notes.id, source.name) for source in Expansion(given, store=MemoryStore)]


def test_a_mapping_gives_each_picture_its_id(tmp_path: Path) -> None:
    """In its order; a name is a name although it looks like a pattern, and what is missing fails alone."""
    (tmp_path / "[1].png").write_bytes(picture())
    given = {"x": picture(), "y": str(tmp_path / "[1].png"), "z": tmp_path / "gone.png", "w": "a*.png"}

    assert names(given) == [
        ("x", "image-0"),
        ("y", str(tmp_path / "[1].png")),
        ("z", str(tmp_path / "gone.png")),
        ("w", "a*.png"),
    ]


@pytest.mark.parametrize(("count", "says"), [(0, "no picture"), (2, "several pictures")])
def test_an_id_is_for_exactly_one_picture(count: int, says: str, tmp_path: Path) -> None:
    """A folder under an id would give two images the same."""
    for number in range(count):
        (tmp_path / f"{number}.png").write_bytes(picture())

    with pytest.raises(UsageError, match=f"id 'x': expected one picture, but .* is {says}"):
        names({"x": tmp_path})


@pytest.mark.parametrize("wrong", ["", "a\nb", "x" * (LONGEST_ID + 1), 1.5, True])
def test_what_cannot_be_an_id_is_named(wrong: object) -> None:
    """Before any picture is looked at."""
    with pytest.raises(UsageError, match=f"expected 1 to {LONGEST_ID} printable"):
        names({"fine": picture(), wrong: picture()})


def test_a_line_without_an_id_is_what_it_was() -> None:
    """Nothing is stored for who gives none."""
    assert encode(ImageRef(index=0)) == b'{"index":0,"key":"","source":"","error":null}'
    assert b"id" not in encode(ImageRecord(index=0, source="", state=ImageState.QUEUED)).replace(b"width", b"")


def test_every_result_carries_its_fields(client: Client, services: Services, worker: ScriptedWorker) -> None:
    """Of an image that succeeded, of one that failed before a worker, and of one that is still queued."""
    given = [(picture(), "cat"), ("nothere.png", 3), {"image": picture(colour=(1, 2, 3)), "site": "north", "age": 4.5}]
    job = client.submit(given)
    expected = [{"label": "cat"}, {"label": 3}, {"site": "north", "age": 4.5}]
    assert [result.fields for result in job.results()] == expected
    worker.work_off(job.id)

    assert [(result.state, result.fields) for result in job.results()] == [
        ("succeeded", expected[0]),
        ("failed", expected[1]),
        ("succeeded", expected[2]),
    ]
    table = job.to_pandas().drop_duplicates("index")["fields"]
    assert [json.loads(cell) for cell in table] == expected
    plain = client.submit(picture())
    assert b"fields" not in encode(next(records(worker.ledger, services.store, plain.id)))


def test_every_result_carries_its_id(
    client: Client, services: Services, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """Succeeded, failed in a worker, failed before one, and still queued."""
    (tmp_path / "broken.png").write_bytes(b"torn")
    given = [picture(), str(tmp_path / "broken.png"), "nothere.png", b"", picture(colour=(1, 2, 3))]
    job = client.submit(dict(zip(IDS, given, strict=True)))
    first = worker.claim_next(job.id)  # four of the five
    assert first is not None
    worker.finish(first)

    found = list(job.results())

    assert [(result.id, result.state) for result in found] == [
        ("k-1", "succeeded"),
        ("k-2", "failed"),
        ("k-3", "failed"),
        ("k-4", "failed"),
        ("k-5", "queued"),
    ]
    worker.work_off(job.id)
    assert {result.id for result in job.stream()} == set(IDS)
    assert record_at(services.ledger, services.store, job.id, 2).id == "k-3"
    assert list(job.to_pandas().drop_duplicates("index")["id"]) == list(IDS)
    assert "k-1" in found[0]._repr_html_()


def test_a_cancelled_image_keeps_its_id(client: Client, worker: ScriptedWorker) -> None:
    """No worker ever wrote a line for it."""
    job = client.submit(dict(zip(IDS, pictures(5), strict=True)))
    job.cancel()

    assert [(result.id, result.state) for result in job.results()] == [(name, "cancelled") for name in IDS]


@pytest.mark.usefixtures("worker")
def test_the_same_mapping_again_does_nothing_and_other_ids_are_refused(client: Client, store: CountingStore) -> None:
    """The ids are a part of what was submitted."""
    client.submit(dict(zip(IDS, pictures(5), strict=True)), job_id="mine")
    before = list(store.written)

    client.submit(dict(zip(IDS, pictures(5), strict=True)), job_id="mine")
    with pytest.raises(UsageError, match="other pictures or ids"):
        client.submit(dict(zip(IDS[::-1], pictures(5), strict=True)), job_id="mine")

    assert store.written == before
    assert b'"id":"k-1"' in store.get(keys.chunk_object("mine", "000000"))
