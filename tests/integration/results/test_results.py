"""Results on a real Redis: merged from what workers stored and what the ledger knows, as records and as files."""

import json
from pathlib import Path

import pytest
from PIL import Image

from producer import Client, Job
from producer.results.download import download
from producer.results.folder import REPORT, results_folder
from producer.results.records import records
from producer.retention.delete import remove
from producer.services import Services
from producer.web.report import write_report
from shared import keys
from shared.contract import ErrorInfo, ImageState, JobState, MaskRecord
from shared.errors import NotFoundError, UnknownJobError, UsageError
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import BROKEN, MODEL, ScriptedWorker, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures, the third of which is broken and the tenth missing."""
    for number in range(10):
        name = f"{number}{'-broken' if number == 2 else ''}.png"
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(picture(colour=(number, 0, 0)))
    return tmp_path / "in"


def states(job: Job) -> str:
    """One letter per image, as the ledger has them."""
    return "".join(result.state[0] for result in job.results())


def test_results_come_in_the_order_of_the_images_with_all_that_is_known(
    client: Client, worker: ScriptedWorker, folder: Path
) -> None:
    """The attributes are those of the JSON contract."""
    job = client.submit([folder, "nothere.png"], top_k=2)
    worker.work_off(job.id)

    found = list(job.results())

    assert [result.index for result in found] == list(range(11))
    assert [Path(result.source).name for result in found[:3]] == ["0.png", "1.png", "2-broken.png"]
    assert (found[2].state, found[2].error, found[2].predictions) == ("failed", BROKEN, ())
    assert found[10].error is not None
    assert found[10].error.code == "not_found"
    best = found[0].predictions[0]
    assert (best.rank, best.class_index, best.label, best.probability) == (1, 0, "tench", 0.5)
    assert (best.box, best.map_min, best.map_max, best.flat) == ((0, 0, 8, 6), 0.0, 1.0, False)
    assert (found[0].width, found[0].height, found[0].model, found[0].method) == (8, 6, MODEL, "cam")
    assert job.status().state is JobState.PARTIAL


def test_the_references_of_a_chunk_that_is_done_are_not_read(
    client: Client, worker: ScriptedWorker, store: MemoryStore, folder: Path
) -> None:
    """Its results say all of it; of one that is not done the references do."""
    job = client.submit({f"mine-{path.stem}": path for path in sorted(folder.iterdir())})
    first = worker.claim_next(job.id)
    assert first is not None
    worker.finish(first)
    store.delete([keys.chunk_object(job.id, "000000")])

    found = list(job.results())

    assert [result.index for result in found] == list(range(10))
    assert [result.id for result in found] == [f"mine-{path.stem}" for path in sorted(folder.iterdir())]
    assert {result.source for result in found} == {str(path) for path in folder.iterdir()}


def test_a_predictions_overlay_is_a_picture(client: Client, worker: ScriptedWorker) -> None:
    """Fetched when it is asked for."""
    job = client.submit(picture())
    worker.work_off(job.id)

    prediction = next(job.results()).predictions[1]

    assert prediction.overlay_key == keys.overlay_object(job.id, 0, 2, "jpg")
    assert isinstance(prediction.overlay(), Image.Image)
    assert prediction.overlay().size == (8, 6)


def test_images_without_a_line_yet_have_the_state_of_the_ledger(
    client: Client, worker: ScriptedWorker, folder: Path
) -> None:
    """A job that runs can be looked at: source and state are known of every image."""
    job = client.submit(folder)
    first = worker.claim_next(job.id)
    assert first is not None
    worker.finish(first)
    worker.claim_next(job.id)

    assert states(job) == "ssfs" + "rrrr" + "qq"
    assert {result.source for result in job.results()} == {str(path) for path in folder.iterdir()}


def test_cancelled_images_say_so(client: Client, worker: ScriptedWorker, folder: Path) -> None:
    """What had succeeded stays."""
    job = client.submit(folder)
    first = worker.claim_next(job.id)
    assert first is not None
    worker.finish(first)

    assert job.cancel() is True

    assert states(job) == "ssfs" + "c" * 6
    assert job.cancel() is False


def test_an_image_that_ended_without_a_worker_has_its_reason_from_the_ledger(
    client: Client, services: Services, worker: ScriptedWorker, store: MemoryStore
) -> None:
    """No worker wrote a line for it."""
    job = client.submit([picture()])
    claim = worker.claim_next(job.id)
    assert claim is not None
    store.put(keys.results_object(job.id, "000000", 1), b"")
    poison = ErrorInfo("poison", "the picture killed the worker process")
    services.ledger.commit(claim, [ImageState.FAILED], {0: poison})

    assert next(job.results()).error == poison


def test_a_retried_image_shows_what_its_last_run_said(
    client: Client, services: Services, worker: ScriptedWorker, folder: Path
) -> None:
    """Queued while it waits, then the new answer; its neighbours keep theirs."""
    job = client.submit(folder)
    worker.work_off(job.id)
    assert states(job) == "ssfsssssss"

    assert services.ledger.retry(job.id, [2]) == 1
    assert states(job) == "ssqsssssss"

    worker.broken = None
    worker.work_off(job.id)
    assert states(job) == "s" * 10


def test_a_job_that_is_removed_while_it_is_read_is_named(
    client: Client, services: Services, worker: ScriptedWorker, store: MemoryStore
) -> None:
    """Its images are not said to be damaged."""
    job = client.submit([picture()])
    worker.work_off(job.id)
    found = records(services.ledger, store, job.id)
    remove(services.ledger, store, job.id)

    with pytest.raises(UnknownJobError):
        list(found)


def test_an_unknown_job_is_named(client: Client) -> None:
    """At the first question."""
    with pytest.raises(UnknownJobError, match="no job 'nothere'"):
        client.job("nothere")


def test_a_download_has_the_files_that_its_lines_name(client: Client, worker: ScriptedWorker, tmp_path: Path) -> None:
    """`overlay` is relative to the folder; heatmaps, masks and maps come where they were asked for."""
    wanted = {"heatmaps": "full", "masks": True, "boxes": 2, "keep_maps": True, "format": "png"}
    job = client.submit([picture(), b"", picture(colour=(1, 2, 3))], top_k=2, **wanted)
    worker.work_off(job.id)

    written = job.download(tmp_path / "out" / "deep")

    lines = [json.loads(line) for line in written.read_text().splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2]
    assert [p["overlay"] for line in lines for p in line["predictions"]] == [
        "overlays/0-1.png",
        "overlays/0-2.png",
        "overlays/2-1.png",
        "overlays/2-2.png",
    ]
    found = sorted(str(path.relative_to(written.parent)) for path in written.parent.rglob("*.*"))
    assert found == [
        ".camq-files",
        *("heatmaps/0-1.png", "heatmaps/0-2.png", "heatmaps/2-1.png", "heatmaps/2-2.png"),
        *("maps/0.npz", "maps/2.npz"),
        *("masks/0-1.png", "masks/0-2.png", "masks/2-1.png", "masks/2-2.png"),
        *("overlays/0-1.png", "overlays/0-2.png", "overlays/2-1.png", "overlays/2-2.png"),
        "results.jsonl",
    ]
    best = next(job.results()).predictions[0]
    assert lines[0]["predictions"][0]["mask"] == {"size": [6, 8], "counts": "1_1"}
    assert best.rle == MaskRecord(size=(6, 8), counts="1_1")
    assert lines[0]["predictions"][0]["boxes"] == [[0, 0, 8, 6]]
    assert best.boxes == ((0, 0, 8, 6),)


def test_results_jsonl_appears_last_or_not_at_all(
    services: Services, client: Client, worker: ScriptedWorker, store: MemoryStore, tmp_path: Path
) -> None:
    """Whoever finds it may trust it; a download that broke leaves no half of it."""
    job = client.submit([picture(), picture(colour=(1, 2, 3))])
    worker.work_off(job.id)
    store.delete([keys.overlay_object(job.id, 1, 3, "jpg")])

    with pytest.raises(NotFoundError):
        list(download(services.ledger, store, job.id, tmp_path))

    assert not list(tmp_path.iterdir())


def test_the_page_of_an_earlier_job_goes_with_its_results(
    services: Services, client: Client, worker: ScriptedWorker, store: MemoryStore, tmp_path: Path
) -> None:
    """Its pictures are overwritten by those of the other job, so it would show those under the wrong names."""
    jobs = [client.submit([picture(colour=(number, 0, 0))]).id for number in range(2)]
    for job in jobs:
        worker.work_off(job)
    said: list[str] = []
    list(download(services.ledger, store, jobs[0], tmp_path))
    write_report(services, jobs[0], results_folder(tmp_path, jobs[0]).add(REPORT), overlays="overlays")
    assert (tmp_path / "report_files/0.webp").exists()

    list(download(services.ledger, store, jobs[1], tmp_path, notice=said.append))

    assert said == [f"replaced the results of job {jobs[0]} in {tmp_path}, with its report.html"]
    assert not {"report.html", "report_files"} & {path.name for path in tmp_path.iterdir()}
    (tmp_path / REPORT).write_text("mine")
    list(download(services.ledger, store, jobs[0], tmp_path))
    assert (tmp_path / REPORT).read_text() == "mine"
    with pytest.raises(UsageError, match=r"report\.html exists and was not written by camq"):
        results_folder(tmp_path, jobs[0]).add(REPORT)


def test_waiting_returns_the_final_status(client: Client, worker: ScriptedWorker) -> None:
    """And gives up when it is told for how long."""
    job = client.submit([picture()])
    with pytest.raises(TimeoutError, match=job.id):
        job.wait(timeout=0)

    worker.work_off(job.id)

    assert job.wait(timeout=10).state is JobState.SUCCEEDED


def test_a_client_lists_jobs_and_workers(client: Client, worker: ScriptedWorker) -> None:
    """Newest first; the same values as the commands print."""
    ids = [client.submit([picture()], name=name).id for name in ("one", "two")]

    assert [(status.job, status.name) for status in client.jobs()] == [(ids[1], "two"), (ids[0], "one")]
    assert [info.worker for info in client.workers()] == [worker.info.worker]
    assert client.job(ids[0]).status().total == 1
