"""Records and objects of a finished job that somebody damaged or removed: they cost their own images' answers, and
every reader shows the others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from producer import Client
from producer.results.export.coco import export_coco
from producer.results.export.exported import Job
from producer.results.export.fiftyone import export_fiftyone
from producer.results.originals import references, sources
from producer.results.records import record_at, records, records_from
from producer.results.retry import retry
from producer.results.stream import arrivals
from producer.retention.delete import collect, collect_now, remove
from producer.retention.unused_inputs import used_inputs
from producer.services import Services
from shared import keys
from shared.config import Settings
from shared.contract import PRIORITIES, SCHEMA_VERSION, ImageRecord, ImageState, encode
from shared.errors import UsageError
from shared.ledger import RedisLedger
from shared.ledger.worker_side import RECORD_LOST
from tests.support.jobs.scripted_worker import BROKEN, MODEL, ScriptedWorker
from tests.support.jobs.submitting import CountingStore, pictures, send
from tests.support.servers.live_page import live_page

#: Images 4 to 7, the second chunk's.
LOST = range(4, 8)
IMAGES = 12


class Finished:
    """A finished job of three chunks, of which the second is to be damaged."""

    def __init__(self, services: Services, store: CountingStore, worker: ScriptedWorker) -> None:
        self.services, self.ledger, self.store = services, services.ledger, store
        self.job = send(services, pictures(IMAGES), options={"top_k": 1})
        worker.work_off(self.job)
        self.undamaged = self.all()

    def all(self) -> list[ImageRecord]:
        return list(records(self.ledger, self.store, self.job))

    def record(self, raw: str | None) -> None:
        client, name = self.ledger.scripts.client, keys.CHUNKS % self.job
        client.hdel(name, "000001") if raw is None else client.hset(name, "000001", raw)

    def change(self, **fields: object) -> None:
        raw = json.loads(self.ledger.scripts.client.hget(keys.CHUNKS % self.job, "000001"))
        self.record(json.dumps(raw | fields))

    def replace(self, key: str, data: bytes | None) -> None:
        self.store.delete([key]) if data is None else self.store.put(key, data)

    def results(self, data: bytes | None) -> None:
        self.replace(keys.results_object(self.job, "000001", 1), data)

    def references(self, data: bytes | None) -> None:
        self.replace(keys.chunk_object(self.job, "000001"), data)
        self.results(b"")


@pytest.fixture
def finished(services: Services, store: CountingStore, worker: ScriptedWorker) -> Finished:
    return Finished(services, store, worker)


DAMAGE: dict[str, tuple[Callable[[Finished], None], str]] = {
    "no JSON": (lambda job: job.record("{broken"), "chunk 000001"),
    "no record": (lambda job: job.record("[]"), "chunk 000001"),
    "not enough of one": (lambda job: job.record('{"f":4,"n":4,"s":"d"}'), "chunk 000001"),
    "negative": (lambda job: job.change(f=-1), "chunk 000001"),
    "removed": (lambda job: job.record(None), "no record of its chunk"),
    "another attempt": (lambda job: job.change(a=7), "000001-7.jsonl"),
    "another place": (lambda job: job.change(f=0), "no record of its chunk"),
    "results that are gone": (lambda job: job.results(None), "000001-1.jsonl"),
    "results of garbage": (lambda job: job.results(b"{broken\n"), "damaged or removed"),
    "results without a line": (lambda job: job.results(b""), "damaged or removed"),
    "references that are gone as well": (lambda job: job.references(None), "000001.jsonl"),
    "references of garbage as well": (lambda job: job.references(b"{broken"), "000001"),
}
damaged = pytest.mark.parametrize("how", DAMAGE)


def _shown(line: ImageRecord) -> tuple[object, ...]:
    return line.index, line.state, str(line.error), len(line.predictions)


@damaged
def test_what_was_damaged_costs_its_own_images_alone(finished: Finished, how: str) -> None:
    """In the list, for one image, in a piece of the list, in the stream and beside the originals: a failure that says
    what is damaged, and everything else as it was."""
    damage, named = DAMAGE[how]
    damage(finished)
    ledger, store, job = finished.ledger, finished.store, finished.job
    found = finished.all()

    assert [line.index for line in found] == list(range(IMAGES))
    for index, line in enumerate(found):
        if index not in LOST:
            assert line == finished.undamaged[index]
            continue
        assert (line.state, line.predictions) == (ImageState.FAILED, ())
        assert line.error is not None
        assert line.error.code == "internal"
        assert named in line.error.message
        assert line.error.message.endswith("submit the picture again")
    assert [record_at(ledger, store, job, index).state for index in range(IMAGES)] == [line.state for line in found]
    assert list(records_from(ledger, store, job, 3, 3)) == found[3:6]
    assert [each.index for each in references(ledger, store, job)] == list(range(IMAGES))
    assert set(sources(ledger, store, job, [0, 5, 11])) >= {0, 11}
    assert len(used_inputs(ledger, store)) >= IMAGES - len(LOST)
    with pytest.raises(UsageError, match="no image 12"):
        record_at(ledger, store, job, IMAGES)
    if how == "another place":
        return  # what the results say is still found where their chunk is known
    streamed = arrivals(ledger, store, job, [ledger.status(job)], threads=2)
    assert sorted(map(_shown, streamed)) == sorted(map(_shown, found))


@damaged
def test_every_reader_shows_what_is_left(finished: Finished, how: str, tmp_path: Path, settings: Settings) -> None:
    """The live page and its pictures, a download, a report, a summary and both exports."""
    DAMAGE[how][0](finished)
    store, ledger, job = finished.store, finished.ledger, finished.job
    left = IMAGES - len(LOST)
    with live_page(finished.services) as ask:
        gallery = json.loads(ask(f"/jobs/{job}/images").data)
        page = ask(f"/jobs/{job}?live")
        originals = [ask(f"/jobs/{job}/images/{index}/original").status for index in (0, 5)]
    assert [row[0] for row in gallery["rows"]] == list(range(IMAGES))
    assert page.status == 200
    assert originals in ([200, 200], [200, 404])

    with Client(settings, store=store) as client:
        asked = client.job(job)
        asked.download(tmp_path / "out")
        asked.report(tmp_path / "report.html")
        summary = asked.summary()
    assert (summary.images, summary.failed) == (IMAGES, len(LOST))
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines].count("succeeded") == left
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == left
    for number, export in enumerate((export_coco, export_fiftyone)):
        assert export(Job(ledger, store, job), tmp_path / str(number)).images == left


@damaged
def test_retry_gc_and_rm_go_on(finished: Finished, how: str) -> None:
    """Nothing failed by the ledger's count, so nothing is retried; the job can be removed."""
    DAMAGE[how][0](finished)
    assert retry(finished.services, finished.job) == 0
    collect(finished.ledger, finished.store)
    remove(finished.ledger, finished.store, finished.job)
    assert finished.ledger.known_jobs() == []


def test_no_input_is_deleted_while_references_cannot_be_read(finished: Finished) -> None:
    """They may name any of them; once their job is removed, the others' are told apart again."""
    unreadable = keys.chunk_object(finished.job, "000001")
    finished.replace(unreadable, b"{broken")

    kept = collect_now(finished.ledger, finished.store)
    assert (kept.objects, kept.unreadable, len(finished.store.inputs())) == (0, (unreadable,), IMAGES)
    remove(finished.ledger, finished.store, finished.job)
    assert collect_now(finished.ledger, finished.store, force=True).objects == IMAGES


def test_a_failure_that_cannot_be_read_hides_no_other(
    services: Services, ledger: RedisLedger, worker: ScriptedWorker, store: CountingStore, tmp_path: Path
) -> None:
    """Neither its sentence nor its index; with another type of value in the place of all, each says that it is lost."""
    for name, data in zip("ab", pictures(2), strict=True):
        (tmp_path / f"broken-{name}.png").write_bytes(data)
    job = send(services, tmp_path)
    worker.work_off(job)
    client, name = ledger.scripts.client, keys.FAILURES % job
    store.delete([keys.results_object(job, "000000", 1)])
    client.hset(name, mapping={"0": "{broken", "soon": "{}"})

    first, second = (line.error for line in records(ledger, store, job))
    assert first is not None
    assert (first.code, second) == ("internal", BROKEN)
    client.delete(name)
    client.set(name, "text", ex=60)
    assert [line.error.code for line in records(ledger, store, job) if line.error] == ["internal"] * 2


def test_images_lost_beyond_those_whose_reason_is_kept_say_so(
    services: Services, ledger: RedisLedger, store: CountingStore, worker: ScriptedWorker
) -> None:
    """The ledger keeps 10,000 sentences; the code is the same for all."""
    job = send(services, pictures(8))
    worker.beat()
    client = ledger.scripts.client
    client.hset(keys.CHUNKS % job, "000001", "{broken")
    client.delete(keys.PENDING % job, *(keys.HINTS % (MODEL, priority) for priority in PRIORITIES))
    ledger.scripts("sweep", 10, 60, SCHEMA_VERSION, encode(RECORD_LOST).decode(), 2)

    found = [line.error for line in records(ledger, store, job)]
    assert found[:2] == [RECORD_LOST] * 2
    assert [error.code for error in found if error] == ["internal"] * 8
    assert ledger.status(job).failed == 8


def test_a_job_of_another_type_keeps_gc_from_nothing(finished: Finished) -> None:
    """What stands where its record and its chunks should be is passed over."""
    client = finished.ledger.scripts.client
    for name in (keys.JOB % "odd", keys.CHUNKS % "odd", keys.CHUNKS % "other"):
        client.set(name, "text", ex=60)
    client.zadd(keys.JOBS, {"odd": 1, "other": 2})

    assert used_inputs(finished.ledger, finished.store)
    assert finished.ledger.unsealed() == []
    collect_now(finished.ledger, finished.store)
    assert len(finished.store.inputs()) == IMAGES
    assert finished.all() == finished.undamaged
