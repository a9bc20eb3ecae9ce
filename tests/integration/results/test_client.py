"""The Python API beyond submitting: one picture waited for, results as they arrive, notebooks, data frames."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from producer import Client, Job
from producer.results.records import record_at
from producer.services import Services
from shared.contract import JobState
from shared.errors import ImageError, UnreachableError, UsageError
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import pictures


@pytest.fixture
def busy(worker: ScriptedWorker) -> Iterator[ScriptedWorker]:
    """The worker works by itself, until the test ends."""
    with worker.at_work():
        yield worker


@pytest.mark.usefixtures("busy")
def test_explain_waits_for_one_picture(client: Client, tmp_path: Path) -> None:
    """Options are those of submit; what cannot be explained is an exception with its code and the picture's name."""
    result = client.explain(picture(), top_k=2, timeout=20)

    assert (result.state, [p.rank for p in result.predictions]) == ("succeeded", [1, 2])
    with pytest.raises(ImageError) as caught:
        client.explain(b"", timeout=20)
    assert caught.value.code == "empty"
    (tmp_path / "broken.png").write_bytes(picture())
    with pytest.raises(ImageError, match=r"broken\.png: the bytes are not a picture"):
        client.explain(tmp_path / "broken.png", timeout=20)


@pytest.mark.usefixtures("worker")
def test_explain_takes_exactly_one_picture(client: Client, tmp_path: Path) -> None:
    """A folder of two is a job; nothing is submitted."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture())

    with pytest.raises(UsageError, match="takes one picture"):
        client.explain(tmp_path)

    assert client.jobs() == []


@pytest.mark.usefixtures("worker")
def test_explain_that_took_too_long_leaves_no_job_behind(client: Client) -> None:
    """Nobody would ever ask for its result."""
    with pytest.raises(TimeoutError):
        client.explain(picture(), timeout=0)

    assert [job.state for job in client.jobs()] == [JobState.CANCELLED]


@pytest.mark.usefixtures("worker")
def test_what_ended_the_wait_is_raised_although_the_job_cannot_be_cancelled(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis went away meanwhile: the second error would hide the first."""

    def fails(reason: str) -> Callable[..., None]:
        def call(*_: object) -> None:
            raise UnreachableError(reason)

        return call

    monkeypatch.setattr(Job, "wait", fails("the first"))
    monkeypatch.setattr(Job, "cancel", fails("the second"))
    with pytest.raises(UnreachableError, match="the first"):
        client.explain(picture())


def test_results_stream_as_chunks_are_done(client: Client, worker: ScriptedWorker) -> None:
    """Before the job has finished, each image once."""
    job = client.submit(pictures(10))
    stream = job.stream()
    first = worker.claim_next(job.id)
    assert first is not None
    worker.finish(first)

    early = [next(stream).index for _ in range(4)]
    assert not job.status().state.finished
    worker.work_off(job.id)
    late = [result.index for result in stream]

    assert sorted(early + late) == list(range(10))
    assert early == [0, 1, 2, 3]


def test_a_stream_ends_with_what_ended_without_a_worker(client: Client, worker: ScriptedWorker) -> None:
    """Cancelled images are in no worker's results."""
    job = client.submit(pictures(10))
    first = worker.claim_next(job.id)
    assert first is not None
    worker.finish(first)
    job.cancel()

    found = sorted((result.index, result.state) for result in job.stream())

    assert found == [(index, "succeeded" if index < 4 else "cancelled") for index in range(10)]


def test_a_stream_gives_what_a_retry_said_and_not_what_it_repeats(
    client: Client, services: Services, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """Begun before the retry is done, and after."""
    (tmp_path / "broken.png").write_bytes(picture())
    job = client.submit([*pictures(5), tmp_path / "broken.png"])
    worker.work_off(job.id)
    assert [result.state for result in job.results()].count("failed") == 1
    worker.broken = None
    services.ledger.retry(job.id, [5])
    stream = job.stream()
    early = [next(stream) for _ in range(5)]
    worker.work_off(job.id)

    assert [(result.index, result.state) for result in (*early, *stream)] == [(n, "succeeded") for n in range(6)]
    assert {result.state for result in job.stream()} == {"succeeded"}


def test_a_stream_of_a_finished_job_gives_everything(client: Client, worker: ScriptedWorker) -> None:
    """Whoever comes late has missed nothing."""
    job = client.submit([*pictures(5), b""])
    worker.work_off(job.id)

    assert sorted(result.index for result in job.stream()) == list(range(6))


def test_one_record_is_found_in_a_job_of_many_chunks(
    client: Client, services: Services, worker: ScriptedWorker
) -> None:
    """A few looks instead of all chunks; an index that is not there is a usage error."""
    job = client.submit(pictures(23))
    worker.work_off(job.id)

    found = [record_at(services.ledger, services.store, job.id, index).index for index in range(23)]

    assert found == list(range(23))
    with pytest.raises(UsageError, match="its images are 0 to 22"):
        record_at(services.ledger, services.store, job.id, 23)


def test_a_result_shows_itself_in_a_notebook(client: Client, worker: ScriptedWorker) -> None:
    """Names and labels are escaped; overlays are inside, small and few."""
    job = client.submit([picture(), "<b>nothere</b>.png"], top_k=7)
    worker.work_off(job.id)
    shown, failed = (result._repr_html_() for result in job.results())

    assert shown.count("<img src='data:image/jpeg;base64,") == 5
    assert "… and 2 more" in shown
    assert "&lt;b&gt;nothere&lt;/b&gt;.png" in failed
    assert "not_found" in failed
    assert "<b>nothere" not in failed


def test_a_job_shows_itself_in_a_notebook(client: Client, worker: ScriptedWorker) -> None:
    """State, name, counts; nothing is fetched from storage."""
    job = client.submit([*pictures(3), b""], name="<i>mine</i>")
    worker.work_off(job.id)

    html = job._repr_html_()

    assert all(text in html for text in (job.id, "partial", "3 succeeded, 1 failed", "&lt;i&gt;mine&lt;/i&gt;"))
    assert "width:75.00%" in html


def test_a_job_becomes_a_data_frame(client: Client, worker: ScriptedWorker) -> None:
    """One row per prediction."""
    job = client.submit([picture(), b""], top_k=2)
    worker.work_off(job.id)

    frame = job.to_pandas()

    assert list(frame["label"].fillna("")) == ["tench", "goldfish", ""]
    assert list(frame["error_code"].fillna("")) == ["", "", "empty"]


def test_an_overlay_has_an_address_of_its_own(client: Client, worker: ScriptedWorker) -> None:
    """For a browser that has no credentials."""
    job = client.submit(picture())
    worker.work_off(job.id)

    best = next(job.results()).predictions[0]

    assert best.overlay_key in best.url(60)
