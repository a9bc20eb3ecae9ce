"""Overlays in the user's own bucket: where they may go, how that is found out, and who follows them there."""

import io
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from producer import Client
from producer.retention.delete import remove
from producer.services import Services
from producer.web.live.pictures import Pictures
from shared import keys
from shared.checks.destinations import check_output
from shared.config import Settings
from shared.contract import Options, encode
from shared.errors import UsageError
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore, pictures

ONE = "s3://mine/looked"


@pytest.fixture
def store(store: CountingStore) -> CountingStore:
    store.buckets["mine"] = {}
    return store


@pytest.mark.parametrize(
    ("output", "prefixes", "expected"),
    [
        ("s3://mine/a/b", "", "s3://mine/a/b"),
        ("s3://mine/a/", "", "s3://mine/a"),
        ("s3://mine", "s3://mine", "s3://mine"),
        ("s3://mine/a", "s3://other s3://mine/a/", "s3://mine/a"),
    ],
)
def test_a_prefix_of_the_users_own_is_allowed(output: str, prefixes: str, expected: str) -> None:
    """Without the slash at its end, so that the same place is always written the same."""
    assert check_output(output, Settings(output_prefixes=prefixes)) == expected


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("folder", "expected s3://bucket/prefix"),
        ("s3://", "expected s3://bucket/prefix"),
        ("s3://mine/\n", "expected s3://bucket/prefix"),
        ("s3://UPPER/a", "not a bucket name"),
        ("s3://mine/a/../b", "not an object key"),
        ("s3://camq/a", "'camq' is camq's own bucket"),
        ("s3://minefield/a", "CAMQ_OUTPUT_PREFIXES allows s3://mine/"),
    ],
)
def test_any_other_place_is_refused(output: str, says: str) -> None:
    """Camq's own bucket too: there `rm` and `gc` delete, and other jobs have their inputs."""
    with pytest.raises(UsageError, match=says):
        check_output(output, Settings(output_prefixes="s3://mine"))


def test_options_without_an_output_are_what_they_were() -> None:
    """So a worker of an older release refuses only jobs that it would write to the wrong place."""
    assert b"output" not in encode(Options())
    assert b'"output":"s3://mine/a"' in encode(Options(output="s3://mine/a"))


def test_results_lead_to_the_users_own_prefix(
    client: Client, services: Services, worker: ScriptedWorker, store: CountingStore, tmp_path: Path
) -> None:
    """Overlays, heatmaps and maps lie below the job's folder there; references and results stay with camq."""
    job = client.submit(pictures(2), top_k=1, heatmaps=True, keep_maps=True, output=f"{ONE}/")
    worker.work_off(job.id)

    best = next(job.results()).predictions[0]
    written = job.download(tmp_path / "got")
    page = job.report(tmp_path / "report.html")
    overlay, kind = Pictures(services).overlay(job.id, 1, 1)

    assert best.overlay_key == f"{ONE}/{job.id}/overlays/0-1.jpg"
    assert best.overlay().size == (8, 6)
    assert best.url().startswith(f"memory://mine/looked/{job.id}/overlays/0-1.jpg")
    assert sorted(store.buckets["mine"]) == [
        f"looked/{job.id}/{name}"
        for name in (
            *("heatmaps/0-1.png", "heatmaps/1-1.png", "job.json"),
            *("maps/0.npz", "maps/1.npz", "overlays/0-1.jpg", "overlays/1-1.jpg"),
        )
    ]
    assert {key.split("/")[2] for key, _ in store.list(keys.job_prefix(job.id))} == {"chunks", "results"}
    assert b'"overlay":"overlays/1-1.jpg"' in written.read_bytes()
    assert (tmp_path / "got" / "heatmaps" / "1-1.png").is_file()
    assert (tmp_path / "got" / "maps" / "1.npz").read_bytes() == b"maps"
    assert (page.with_name("report_files") / "1-1.webp").is_file()
    assert (Image.open(io.BytesIO(overlay)).size, kind) == ((8, 6), "image/jpeg")
    assert list(job.to_pandas()["overlay"]) == [f"{ONE}/{job.id}/overlays/{index}-1.jpg" for index in (0, 1)]


def test_two_jobs_with_one_output_never_meet(client: Client, worker: ScriptedWorker, store: CountingStore) -> None:
    """Each has a folder of its own, and deleting one leaves the user's objects alone, of both."""
    jobs = [client.submit(picture(), top_k=1, output=ONE) for _ in range(2)]
    for job in jobs:
        worker.work_off(job.id)
    before = dict(store.buckets["mine"])

    remove(worker.ledger, store, jobs[0].id)

    assert len(before) == 4
    assert store.buckets["mine"] == before
    assert list(store.list(keys.job_prefix(jobs[0].id))) == []


@pytest.mark.usefixtures("worker")
def test_an_output_that_cannot_be_written_is_found_at_once(client: Client, store: CountingStore) -> None:
    """A missing bucket and a refusal alike: no job, and not a picture uploaded."""
    with pytest.raises(UsageError, match=r"cannot write to the output s3://nowhere/a: there is no bucket 'nowhere'"):
        client.submit(picture(), output="s3://nowhere/a")
    store.failures = [UsageError("S3 storage at x refuses access")]
    with pytest.raises(UsageError, match="refuses access"):
        client.submit(picture(), output=ONE)

    assert (store.inputs(), client.jobs()) == ([], [])


@pytest.mark.usefixtures("worker")
def test_the_operator_says_where_output_may_go(services: Services, store: CountingStore) -> None:
    """Asked at submit, before anything is written anywhere."""
    store.buckets["mine"] = {}
    limited = msgspec.structs.replace(services.settings, output_prefixes="s3://mine/out")
    with Client(limited, store=store) as client, pytest.raises(UsageError, match="CAMQ_OUTPUT_PREFIXES"):
        client.submit(picture(), output=ONE)

    assert store.written == []
