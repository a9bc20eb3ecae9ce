"""Submission on a real Redis: what is uploaded, registered and refused, and how it is resumed."""

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from producer.services import Services
from producer.submission.request import Request, new_job_id
from producer.submission.submit import Listener, submit
from shared import keys
from shared.config import Settings
from shared.contract import ImageRef, JobState, decode_lines
from shared.errors import UnreachableError, UsageError
from shared.ledger import RedisLedger
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import CARD, MODEL, ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore, pictures, send


@pytest.mark.usefixtures("worker")
def test_images_become_chunks_in_order(services: Services, ledger: RedisLedger, store: CountingStore) -> None:
    """Chunk ids count from zero, and each holds the references of its images."""
    job = send(services, pictures(10), name="holiday", options={"top_k": 2})

    status = ledger.status(job)
    assert (status.total, status.sealed, status.state, status.name) == (10, True, JobState.QUEUED, "holiday")
    assert ledger.options(job).top_k == 2
    assert ledger.chunks(job) == ["000000", "000001", "000002"]
    references = [
        reference
        for chunk in ledger.chunks(job)
        for reference in decode_lines(store.get(keys.chunk_object(job, chunk)), ImageRef)
    ]
    assert [reference.index for reference in references] == list(range(10))
    assert [store.get(reference.key) for reference in references] == pictures(10)


@pytest.mark.usefixtures("worker")
def test_what_is_left_out_is_said_once_and_kept(services: Services, ledger: RedisLedger, tmp_path: Path) -> None:
    """Of all the paths together, when the last is read; a job of everything says nothing."""
    for name, data in {"a/1.png": picture(), "a/2.JXL": b"\xff\x0a", "b/3.jxl": b"", "b/4.txt": b"text"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    heard: list[str] = []

    job = send(services, [tmp_path / "b", tmp_path / "a"], Listener(notice=heard.append))
    other = send(services, [tmp_path / "a" / "1.png"], Listener(notice=heard.append))

    assert heard == [
        f"no picture matches {str(tmp_path / 'b')!r}",
        "left out: 2 .jxl (convert it: djxl FILE FILE.png), 1 .txt",
    ]
    assert ledger.status(job).left_out == {".jxl": 2, ".txt": 1}
    assert ledger.status(other).left_out == {}


@pytest.mark.usefixtures("worker")
def test_the_same_picture_is_stored_once(services: Services, store: CountingStore) -> None:
    """Within a job and across jobs, whatever it is called."""
    send(services, pictures(3))
    before = len(store.inputs())
    send(services, pictures(3) * 2)

    assert before == 3
    assert len(store.inputs()) == before


@pytest.mark.usefixtures("worker")
def test_the_id_is_announced_before_the_first_upload(services: Services, store: CountingStore) -> None:
    """Whoever is interrupted then knows what to resume."""
    written_before: list[int] = []

    job = send(services, pictures(2), Listener(job=lambda _: written_before.append(len(store.written))))

    assert written_before == [0]
    assert job == ledger_id(job)


def ledger_id(job: str) -> str:
    """The id, if it is as short and sortable as promised."""
    date, time, tail = job.split("-")
    assert (len(date), len(time), len(tail)) == (8, 6, 6)
    return job


def test_later_ids_sort_later() -> None:
    """`camq jobs` and a shell's `ls` agree on what is newest."""
    assert new_job_id() != new_job_id()
    assert new_job_id()[:15] <= new_job_id()[:15]


def test_progress_counts_every_image_and_knows_the_total(services: Services, worker: ScriptedWorker) -> None:
    """A bar needs both."""
    heard: list[tuple[int, int | None]] = []

    send(services, pictures(6), Listener(progress=lambda *seen: heard.append(seen)))

    assert heard == [(count, 6) for count in range(1, 7)]


def test_an_idle_worker_can_begin_after_the_first_chunk(services: Services, worker: ScriptedWorker) -> None:
    """A submission of hours must not leave the fleet idle."""
    begun: list[int] = []

    def look(uploaded: int, _total: int | None) -> None:
        if uploaded == 5:
            begun.append(len(services.ledger.attempts("early")))

    send(services, pictures(12), Listener(progress=look), job_id="early")

    assert begun == [1]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("count", "priority", "expected"), [(16, None, "high"), (17, None, "bulk"), (17, "high", "high")]
)
def test_a_small_job_goes_first_unless_told_otherwise(
    count: int, priority: str | None, expected: str, services: Services, worker: ScriptedWorker
) -> None:
    """At most sixteen images are somebody waiting."""
    job = send(services, pictures(count), priority=priority)
    claim = worker.claim_next(job)

    assert claim is not None
    assert claim.priority == expected


@pytest.mark.usefixtures("worker")
def test_what_cannot_be_read_has_its_reason_and_no_upload(
    services: Services, store: CountingStore, tmp_path: Path
) -> None:
    """It fails alone; the ledger learns it from the worker that takes the chunk."""
    (tmp_path / "empty.png").touch()

    job = send(services, [picture(), "nothere.png", tmp_path / "empty.png"])

    references = decode_lines(store.get(keys.chunk_object(job, "000000")), ImageRef)
    assert [reference.error.code if reference.error else None for reference in references] == [
        None,
        "not_found",
        "empty",
    ]
    assert len(store.inputs()) == 1


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"options": {"top_k": 0}}, "at least 1"),
        ({"options": {"colormap": "jett"}}, "did you mean jet"),
        ({"options": {"classes": "dog"}}, "no class 'dog'"),
        ({"model": "other"}, "no model 'other'"),
        ({"job_id": "../../x"}, "expected up to 64 letters"),
        ({"priority": "urgent"}, "expected one of high, bulk"),
        ({"webhook": "https://evil.org/?token=t0ken"}, "CAMQ_WEBHOOK_HOSTS does not allow evil.org"),
    ],
)
@pytest.mark.usefixtures("worker")
def test_a_wrong_request_is_refused_before_anything_is_stored(
    request_: dict[str, Any], says: str, services: Services, store: CountingStore, empty_redis: redis.Redis
) -> None:
    """No upload, no job."""
    with pytest.raises(UsageError, match=says):
        send(services, pictures(2), **request_)

    assert store.written == []
    assert services.ledger.jobs(10) == []


def test_pictures_in_storage_are_read_in_place(settings: Settings, empty_redis: redis.Redis) -> None:
    """The reference is the address; nothing is copied."""
    mine = MemoryStore("mine")
    mine.ensure_bucket()
    mine.put("p/a.png", picture())
    mine.put("p/empty.png", b"")
    store = MemoryStore(buckets=mine.buckets)
    store.ensure_bucket()
    with Services(settings, store=store) as services:
        ScriptedWorker(services.ledger, store)
        job = send(services, "s3://mine/p/")

    first, second = decode_lines(store.get(keys.chunk_object(job, "000000")), ImageRef)
    assert (first.key, first.source) == ("s3://mine/p/a.png", "s3://mine/p/a.png")
    assert second.error is not None
    assert second.error.code == "empty"
    assert [key for key, _ in store.list("inputs/")] == []


def test_services_that_are_away_are_named_before_a_job_is_opened(settings: Settings, empty_redis: redis.Redis) -> None:
    """Redis is asked first; storage before the job exists."""
    away = msgspec.structs.replace(settings, s3_endpoint="127.0.0.1:9")
    with closing(RedisLedger(settings)) as ledger:
        ScriptedWorker(ledger, MemoryStore())
        with Services(away) as services, pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
            send(services, pictures(1))
        assert ledger.jobs(10) == []


@pytest.mark.usefixtures("worker")
def test_a_slow_methods_chunks_stay_small(
    settings: Settings, ledger: RedisLedger, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three chunks of 128 pictures with Score-CAM would be an hour's work of one worker."""
    monkeypatch.setattr("producer.submission.submit.SMALL_ONES", 1)
    sizes = {}
    ledger.publish(msgspec.structs.replace(CARD, methods=("cam", "scorecam")))
    with Services(msgspec.structs.replace(settings, chunk_size=None), store=store) as services:
        for method in ("cam", "scorecam"):
            job = submit(services, pictures(70), Request(model=MODEL, options={"method": method}))
            sizes[method] = [
                len(decode_lines(store.get(keys.chunk_object(job, chunk)), ImageRef)) for chunk in ledger.chunks(job)
            ]

    assert sizes == {"cam": [32, 38], "scorecam": [32, 32, 6]}
