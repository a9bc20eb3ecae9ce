"""Tags, ids of the user's own and an output of the user's own, as the command takes them."""

import csv
import io
import json
import urllib.request
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from shared.config import Settings
from shared.ledger import RedisLedger
from shared.storage import S3Store
from tests.acceptance.command import run_apart
from tests.acceptance.conftest import Camq, finished, lines, submitted
from tests.support.jobs.scripted_worker import ScriptedWorker

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("photos")]
MANIFEST = "source,id\nphotos/a.png,k-1\nphotos/b-broken.png,k-2\nnothere.png,k-3\n"


def test_a_manifest_gives_ids_to_pictures(camq: Camq, worker: ScriptedWorker, tmp_path: Path) -> None:
    """In lines, tables and what people see; relative names are those of this folder; pictures beside it have none."""
    (tmp_path / "list.csv").write_text(MANIFEST)
    (dry,) = lines(camq("submit", "--manifest", "list.csv", "--tag", "t", "--dry-run", "--json"))
    job = finished(camq, worker, "photos/a.png", "--manifest", "list.csv")

    found = lines(camq("results", job, "--json"))
    table = list(csv.DictReader(io.StringIO(camq("results", job, "--format", "csv").stdout)))

    assert (dry["images"], dry["failing"], dry["tags"]) == (3, 1, ["t"])
    assert [given["path"] for given in dry["paths"]] == ["list.csv"]  # type: ignore[attr-defined]
    assert [(line["id"], line["state"]) for line in found] == [
        (None, "succeeded"),
        ("k-1", "succeeded"),
        ("k-2", "failed"),
        ("k-3", "failed"),
    ]
    assert {row["source"]: row["id"] for row in table}["nothere.png"] == "k-3"
    assert "photos/b-broken.png (k-2)" in camq("results", job).stdout


def test_a_manifest_comes_from_stdin(environment: dict[str, str], worker: ScriptedWorker, tmp_path: Path) -> None:
    """JSON lines or CSV, which its first sign tells; the same submission again does nothing."""
    text = json.dumps({"source": "photos/a.png", "id": "k-1"})
    for _ in range(2):
        done = run_apart("submit", "--manifest", "-", "--job-id", "mine", cwd=tmp_path, env=environment, stdin=text)
        assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr

    assert worker.ledger.status("mine").total == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing argument 'PATHS...' or --manifest FILE"),
        (["--manifest", "gone.csv"], "'gone.csv' does not exist"),
        (["--manifest", "list.csv"], "list.csv, line 3: id 'k-1' is already used on line 2"),
        (["-", "--manifest", "-"], "not both"),
        (["photos", "--tag", "a,b"], "invalid tag 'a,b'"),
        (["photos", "--output", "folder"], "expected s3://bucket/prefix"),
        (["photos", "--output", "s3://no-such-bucket/a"], "output s3://no-such-bucket/a"),
    ],
)
@pytest.mark.usefixtures("worker")
def test_a_submission_that_cannot_be_is_a_usage_error(
    arguments: list[str], says: str, camq: Camq, ledger: RedisLedger, tmp_path: Path
) -> None:
    """Exit status 2, and no job."""
    (tmp_path / "list.csv").write_text("source,id\nphotos/a.png,k-1\nphotos/b.png,k-1\n")

    done = camq("submit", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert ledger.jobs(10) == []


@pytest.mark.usefixtures("worker")
def test_jobs_are_listed_by_tag(camq: Camq) -> None:
    """People see tags where there are any; a tag that no job has is said, and the nearest that one has."""
    plain = submitted(camq, "photos")
    assert "tags" not in camq("jobs").stdout
    tagged = submitted(camq, "photos", "--tag", "nightly", "--tag", "cats")

    shown = camq("jobs", "--tag", "nightly")
    mistyped = camq("jobs", "--tag", "nigthly", "--json")

    assert "nightly, cats" in camq("status", tagged).stdout
    assert tagged in shown.stdout
    assert "nightly, cats" in shown.stdout
    assert plain not in shown.stdout
    assert [job["job"] for job in lines(camq("jobs", "--tag", "cats", "--json"))[0]] == [tagged]  # type: ignore[index,call-overload]
    assert (mistyped.returncode, mistyped.stdout) == (0, "[]\n")
    assert "no job has the tag 'nigthly' (did you mean nightly?)" in mistyped.stderr


def test_an_address_of_an_overlay_in_the_users_bucket_needs_no_credentials(
    camq: Camq, worker: ScriptedWorker, settings: Settings
) -> None:
    """`--urls` follows the overlays to where they are."""
    with closing(S3Store.from_settings(msgspec.structs.replace(settings, bucket="my-own"))) as mine:
        mine.ensure_bucket()
    job = finished(camq, worker, "photos/a.png", "--output", "s3://my-own/out")

    (line,) = lines(camq("results", job, "--urls"))
    best = line["predictions"][0]  # type: ignore[index]

    assert best["overlay"] == f"s3://my-own/out/{job}/overlays/0-1.jpg"
    with urllib.request.urlopen(best["url"], timeout=20) as answer:
        assert answer.read().startswith(b"\xff\xd8")
