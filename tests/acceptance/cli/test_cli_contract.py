"""The command's contract: its JSON, its exit status, and what it says to people."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from tests.acceptance.conftest import Camq, Start, finished, lines, submitted
from tests.support.jobs.scripted_worker import MODEL, ScriptedWorker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

STATUS_FIELDS = [
    *("job", "name", "state", "sealed", "total", "queued", "running", "succeeded", "failed", "cancelled"),
    *("created_at", "finished_at", "images_per_second", "eta_s", "model", "submission_interrupted"),
    *("webhook", "tags", "started_at", "left_out"),
]
RESULT_FIELDS = [
    *("index", "source", "state", "width", "height", "model", "method", "engine", "predictions"),
    "error",
    *("id", "name", "tags"),
]
PREDICTION_FIELDS = [
    *("rank", "class_index", "label", "probability", "logit", "overlay", "box", "map_min", "map_max", "flat"),
]
WORKER_FIELDS = ["worker", "host", "pid", "device", "models", "state", "images_per_second", "images_done"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.mark.parametrize(("path", "code", "state"), [("photos", 1, "partial"), ("photos/a.png", 0, "succeeded")])
@pytest.mark.usefixtures("photos")
def test_submit_and_wait_ends_with_the_final_status(
    path: str, code: int, state: str, start: Start, worker: ScriptedWorker
) -> None:
    """The id first, at once; the status last; exit status 1 when an image failed."""
    command = start("submit", path, "--wait", "--json")
    assert command.stdout is not None
    job = json.loads(command.stdout.readline())["job"]
    wait_until(lambda: worker.ledger.status(job).sealed, "the job is submitted")
    worker.work_off(job)
    out, err = command.communicate(timeout=30)

    final = json.loads(out)
    assert command.returncode == code
    assert (final["job"], final["state"]) == (job, state)
    assert f"job {job} {state}" in err


@pytest.mark.usefixtures("photos")
def test_status_has_the_fields_of_the_contract(camq: Camq, worker: ScriptedWorker) -> None:
    """Before and after; what is not known yet is null."""
    job = submitted(camq, "photos", "--name", "holiday")
    (before,) = lines(camq("status", job, "--json"))
    worker.work_off(job)
    (after,) = lines(camq("status", job, "--json"))

    assert list(before) == list(after) == STATUS_FIELDS
    assert (before["state"], before["queued"], before["finished_at"], before["eta_s"]) == ("queued", 3, None, None)
    assert (after["state"], after["total"], after["succeeded"], after["failed"]) == ("partial", 3, 2, 1)
    assert (after["name"], after["model"], after["sealed"]) == ("holiday", MODEL, True)
    assert after["submission_interrupted"] is False
    assert TIME.fullmatch(str(after["created_at"]))
    assert TIME.fullmatch(str(after["finished_at"]))


@pytest.mark.usefixtures("photos")
def test_status_lists_the_state_of_each_task_in_celerys_words(camq: Camq, worker: ScriptedWorker) -> None:
    """The hand-played worker takes nothing from the queue, so Celery knows of none."""
    job = submitted(camq, "photos")

    (status,) = lines(camq("status", job, "--tasks", "--json"))

    assert status["tasks"] == [{"id": f"{job}.000000.1", "state": "PENDING"}]
    assert f"{job}.000000.1" in camq("status", job, "--tasks").stdout


@pytest.mark.usefixtures("photos")
def test_results_are_one_line_per_image_in_index_order(camq: Camq, worker: ScriptedWorker) -> None:
    """`source` is the path as given; `overlay` is an object key."""
    job = finished(camq, worker, "photos", "nothere.png", "--top-k", "2")

    done = camq("results", job, "--json")

    found = lines(done)
    assert done.returncode == 0
    assert [line["index"] for line in found] == [0, 1, 2, 3]
    assert all(list(line) == RESULT_FIELDS for line in found)
    assert {(line["id"], line["name"], str(line["tags"])) for line in found} == {(None, None, "[]")}
    assert [line["source"] for line in found] == [
        "photos/a.png",
        "photos/b-broken.png",
        "photos/c 🐈.png",
        "nothere.png",
    ]
    predictions = found[0]["predictions"]
    assert isinstance(predictions, list)
    assert [list(prediction) for prediction in predictions] == [PREDICTION_FIELDS] * 2
    assert predictions[0]["overlay"] == f"jobs/{job}/overlays/0-1.jpg"
    assert predictions[0]["box"] == [0, 0, 8, 6]
    assert (found[0]["error"], found[1]["predictions"]) == (None, [])
    assert found[1]["error"] == {"code": "not_an_image", "message": "the bytes are not a picture"}
    assert found[3]["error"] == {"code": "not_found", "message": "there is no file nothere.png"}


@pytest.mark.usefixtures("photos")
def test_results_can_be_fetched_into_a_folder(camq: Camq, worker: ScriptedWorker, tmp_path: Path) -> None:
    """The file has the same lines, `overlay` relative to the folder, and every overlay is a JPEG."""
    job = finished(camq, worker, "photos")

    done = camq("results", job, "--out", "got", "--json")

    assert done.returncode == 0
    assert (tmp_path / "got" / "results.jsonl").read_text() == done.stdout
    overlays = [p["overlay"] for line in lines(done) for p in line["predictions"]]  # type: ignore[attr-defined]
    assert overlays == [f"overlays/{index}-{rank}.jpg" for index in (0, 2) for rank in (1, 2, 3)]
    assert all((tmp_path / "got" / name).read_bytes().startswith(b"\xff\xd8") for name in overlays)


def test_workers_have_the_fields_of_the_contract(camq: Camq, worker: ScriptedWorker) -> None:
    """A list, with more fields than promised at most."""
    (found,) = lines(camq("workers", "--json"))

    assert list(found[0])[: len(WORKER_FIELDS)] == WORKER_FIELDS  # type: ignore[index]
    assert found[0]["worker"] == worker.info.worker  # type: ignore[index]
    assert worker.info.worker in camq("workers").stdout


@pytest.mark.usefixtures("photos")
def test_what_workers_wait_for_is_shown(camq: Camq, worker: ScriptedWorker) -> None:
    """Beside the workers, and beside a job that waits with them."""
    job = submitted(camq, "photos")
    worker.info = msgspec.structs.replace(worker.info, waiting_for="S3 storage refuses access")
    worker.beat()

    assert "1 of 1 wait: S3 storage refuses access" in camq("workers").stderr
    assert "1 of its 1 workers wait: S3 storage refuses access" in camq("status", job).stderr


def test_workers_tell_where_their_time_goes(camq: Camq, worker: ScriptedWorker) -> None:
    """When asked: stages with their mean, and micro-batches by size."""
    (plain,), (found,) = lines(camq("workers", "--json")), lines(camq("workers", "--stages", "--json"))
    text = camq("workers", "--stages").stdout

    assert "stages" not in plain[0]  # type: ignore[index]
    assert found[0]["stages"]["forward"] == {"count": 3, "seconds": 0.9}  # type: ignore[index]
    assert found[0]["batch_sizes"] == {"4": 1, "16": 2}  # type: ignore[index]
    assert re.search(r"forward +micro-batch +3 +300 ms", text)
    assert re.search(r"decode +image +48 +2\.5 ms", text)
    assert "micro-batches: 12.0 images on average" in text


@pytest.mark.usefixtures("photos")
def test_jobs_lists_the_newest_first(camq: Camq, worker: ScriptedWorker) -> None:
    """As statuses; people get a table."""
    ids = [submitted(camq, "photos", "--name", name) for name in ("one", "two")]

    (found,) = lines(camq("jobs", "--json"))

    assert [status["job"] for status in found] == ids[::-1]  # type: ignore[attr-defined]
    assert all(job in camq("jobs").stdout for job in ids)


@pytest.mark.usefixtures("photos")
def test_watch_ends_with_the_job(camq: Camq, start: Start, worker: ScriptedWorker) -> None:
    """With the final status, and exit status 1 when an image failed."""
    job = submitted(camq, "photos")
    command = start("watch", job, "--json")
    worker.work_off(job)
    out, _ = command.communicate(timeout=30)

    assert command.returncode == 1
    assert list(json.loads(out)) == STATUS_FIELDS
    assert camq("watch", finished(camq, worker, "photos/a.png")).returncode == 0


@pytest.mark.usefixtures("photos")
def test_cancel_stops_what_has_not_begun(camq: Camq, worker: ScriptedWorker) -> None:
    """And prints the status; a finished job is left as it is, which is said."""
    job = submitted(camq, "photos")

    (status,) = lines(camq("cancel", job, "--json"))

    assert (status["state"], status["cancelled"]) == ("cancelled", 3)
    assert "had already finished" in camq("cancel", job).stdout


@pytest.mark.usefixtures("photos")
def test_the_same_job_id_is_idempotent_and_other_content_is_refused(camq: Camq, worker: ScriptedWorker) -> None:
    """Exit status 0, then 2."""
    assert submitted(camq, "photos", "--job-id", "mine") == "mine"
    assert submitted(camq, "photos", "--job-id", "mine") == "mine"

    refused = camq("submit", "photos/a.png", "--job-id", "mine")

    assert refused.returncode == 2
    assert "--job-id" in refused.stderr
