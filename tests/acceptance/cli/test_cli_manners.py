"""How the command behaves: interrupted, piped, cut off, mistaken."""

import os
import re
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from shared.config import Settings
from shared.contract import Options
from shared.errors import UnreachableError, UsageError
from shared.ledger import NewChunk, RedisLedger
from shared.storage import S3Store
from tests.acceptance.command import CAMQ, terminal
from tests.acceptance.conftest import Camq, Start, finished, lines, submitted
from tests.support.jobs.ledgers import enter
from tests.support.jobs.scripted_worker import MODEL, ScriptedWorker, picture
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


@pytest.mark.usefixtures("worker", "photos")
def test_ctrl_c_while_waiting_leaves_the_job_running_and_says_how_to_come_back(
    start: Start, ledger: RedisLedger
) -> None:
    """Exit status 130."""
    command = start("submit", "photos", "--wait")
    assert command.stdout is not None
    job = command.stdout.readline().strip()
    wait_until(lambda: watchers(ledger, job), "the command watches")
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=30)

    assert command.returncode == 130
    assert f"camq watch {job}" in err
    assert ledger.status(job).queued == 3


@pytest.mark.usefixtures("photos")
def test_watch_goes_on_over_a_redis_that_was_killed(
    camq: Camq, start: Start, worker: ScriptedWorker, ledger: RedisLedger, request: pytest.FixtureRequest
) -> None:
    """The embedded server is started again with its data; the watcher only says that it waited."""
    job = submitted(camq, "photos/a.png")
    command = start("watch", job)
    stack = request.getfixturevalue("stack")
    before = stack.pids()["redis"]
    wait_until(lambda: watchers(ledger, job), "the command watches")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: stack.pids().get("redis", before) != before, "Redis is started again")
    wait_until(lambda: alive(ledger), "Redis answers", timeout_s=20)
    worker.beat()
    worker.work_off(job)
    _, err = command.communicate(timeout=30)

    assert command.returncode == 0, err
    assert f"job {job} succeeded" in err


def watchers(ledger: RedisLedger, job: str) -> bool:
    return bool(ledger.scripts.client.pubsub_numsub(f"camq:events:{job}")[0][1])


def alive(ledger: RedisLedger) -> bool:
    try:
        ledger.check()
    except UnreachableError:
        return False
    return True


@pytest.mark.usefixtures("photos")
def test_names_that_would_move_the_cursor_are_shown_as_escapes(
    camq: Camq, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """JSON has the name itself; a terminal must not obey it."""
    name = "a\n\x1b[31mred.png"
    (tmp_path / name).write_bytes(picture())
    job = finished(camq, worker, name)

    assert "\x1b" not in camq("results", job).stdout
    assert r"a\n\x1b[31mred.png" in camq("results", job).stdout
    assert lines(camq("results", job, "--json"))[0]["source"] == name


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("command", ["status", "results", "jobs", "workers"])
def test_a_pipe_gets_plain_text(command: str, camq: Camq, worker: ScriptedWorker) -> None:
    """No colours, no padding, and no column cut off."""
    job = finished(camq, worker, "photos")

    done = camq(command, *([job] if command in {"status", "results"} else []))

    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert all(line == line.rstrip() for line in done.stdout.splitlines())


@pytest.mark.usefixtures("worker", "photos")
def test_the_id_goes_to_stdout_also_while_a_bar_is_drawn_on_the_terminal(
    environment: dict[str, str], tmp_path: Path, ledger: RedisLedger
) -> None:
    """As in `JOB=$(camq submit photos)`, where stderr is the terminal and stdout is not."""
    with terminal() as (screen, seen):
        done = subprocess.run(
            [CAMQ, "submit", "photos"],
            env=environment | {"TERM": "xterm"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=screen,
            text=True,
            timeout=60,
            check=True,
        )
        drawn = seen()

    assert [status.job for status in ledger.jobs(10)] == [done.stdout.strip()]
    assert "uploading" in drawn
    assert "3/3" in drawn


@pytest.mark.usefixtures("photos")
def test_a_reader_that_leaves_early_makes_no_noise(start: Start, camq: Camq, worker: ScriptedWorker) -> None:
    """As in `camq results JOB --json | head -1`, with more lines than a pipe holds."""
    job = finished(camq, worker, *["photos"] * 100)
    command = start("results", job, "--json")
    assert command.stdout is not None
    command.stdout.readline()
    command.stdout.close()

    assert command.wait(timeout=30) != 0
    assert command.stderr is not None
    assert "Traceback" not in command.stderr.read()


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["photos", "--method", "scorecam"], "Use cam or gradcam"),
        (["photos", "--target-layer", "layer44"], "did you mean layer4"),
        (["photos", "--dry-run", "--target-layer", "layer44"], "did you mean layer4"),
        (["*.gif", "nothere/"], "no picture to submit"),
    ],
)
def test_a_wrong_request_is_a_usage_error_before_anything_is_uploaded(
    arguments: list[str], says: str, camq: Camq, ledger: RedisLedger, s3_store: S3Store, photos: Path
) -> None:
    """Exit status 2, the allowed values named, nothing on stdout, nothing stored."""
    before = len(list(s3_store.list("")))

    done = camq("submit", *arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert ledger.jobs(10) == []
    assert len(list(s3_store.list(""))) == before


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", "photos"],
        pytest.param(["doctor"], marks=pytest.mark.slow),  # which loads torch
        ["jobs"],
        ["status", "latest"],
        ["results", "latest"],
        ["gc"],
    ],
)
@pytest.mark.usefixtures("photos")
def test_looking_creates_no_bucket(
    camq: Camq, worker: ScriptedWorker, settings: Settings, arguments: list[str]
) -> None:
    """A mistyped CAMQ_BUCKET is named, and not made true: only `up` and a worker's start create one."""
    submitted(camq, "photos")
    done = camq(*arguments, CAMQ_BUCKET="cmaq")

    if arguments[0] not in ("jobs", "status"):  # which read the ledger alone
        assert done.returncode != 0
        assert "no bucket 'cmaq'" in done.stdout + done.stderr
    missing = S3Store.from_settings(msgspec.structs.replace(settings, bucket="cmaq"))
    with closing(missing), pytest.raises(UsageError, match="no bucket 'cmaq'"):
        missing.check()


def test_an_interrupted_submission_does_not_look_almost_done(
    camq: Camq, worker: ScriptedWorker, ledger: RedisLedger
) -> None:
    """It has no time left, and what goes on is said: the same command, or an end with what there is."""
    ledger.open_job("mine", model=MODEL, options=Options(), priority="bulk", name=None)
    enter(ledger, "mine", NewChunk("000000", 0, 4, "d"))
    ledger.scripts.client.hset("camq:job:mine", "producer_seen_at", "1000000000")

    listed, told = camq("jobs"), camq("status", "mine")

    assert re.search(r"^mine +submission interrupted +0 of 4 so far", listed.stdout, re.MULTILINE)
    assert re.search(r"^state +submission interrupted$", told.stdout, re.MULTILINE)
    assert "\n  --job-id mine\n" in told.stderr
    assert "\n  camq seal mine\n" in told.stderr
    assert lines(camq("status", "mine", "--json"))[0]["eta_s"] is None


@pytest.mark.usefixtures("photos")
def test_a_retry_says_what_fails_again(camq: Camq, worker: ScriptedWorker) -> None:
    """It is carried out all the same: a file in a bucket of the user's own may have changed."""
    job = finished(camq, worker, "photos")

    done = camq("retry", job)

    assert (done.returncode, done.stdout) == (0, f"job {job}: 1 image queued again\n")
    assert done.stderr == "these fail again, unless their files or the limits changed: 1 not_an_image\n"


@pytest.mark.usefixtures("photos")
def test_jobs_are_listed_by_age_and_calls_with_all_only(camq: Camq, worker: ScriptedWorker) -> None:
    """A column of the time left is there while a job has one. Programs get all jobs."""
    finished(camq, worker, "photos", "--job-id", "mine")
    submitted(camq, "photos/a.png", "--job-id", "explain-1")

    (head, row), every = camq("jobs").stdout.splitlines(), camq("jobs", "--all").stdout.splitlines()

    assert head.split() == ["job", "name", "state", "images", "submitted", "model"]
    assert re.match(r"mine .* \d+ s ago +tiny@", row)
    assert [line.split()[0] for line in every] == ["job", "explain-1", "mine"]
    assert "time left" in every[0]
    assert [line["job"] for line in lines(camq("jobs", "--json"))[0]] == ["explain-1", "mine"]


@pytest.mark.usefixtures("photos")
def test_status_speaks_of_times_as_people_do(camq: Camq, worker: ScriptedWorker) -> None:
    """Programs get ISO 8601."""
    job = finished(camq, worker, "photos")

    told = camq("status", job).stdout

    assert re.search(r"^submitted +\d+ [A-Z][a-z]{2} \d{4}, \d\d:\d\d UTC$", told, re.MULTILINE)
    assert re.search(r"^took +\d+\.\d s$", told, re.MULTILINE)


@pytest.mark.parametrize("command", ["status", "watch", "results", "cancel"])
@pytest.mark.usefixtures("worker", "photos")
def test_an_unknown_job_is_exit_status_3_and_the_nearest_is_named(command: str, camq: Camq) -> None:
    """A mistyped id is most often one digit off."""
    submitted(camq, "photos", "--job-id", "20261123-081502-3f9ac2")

    done = camq(command, "20261123-081502-3f9ac3")

    assert done.returncode == 3
    assert "did you mean 20261123-081502-3f9ac2" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_doctor_names_each_part_and_the_remedy_for_what_is_away(camq: Camq, worker: ScriptedWorker) -> None:
    """Exit status 4 when a service is; named by address, without its password."""
    away = {"CAMQ_REDIS_URL": "redis://:hush@127.0.0.1:9/0", "CAMQ_MODEL": "efficientnet_lite0"}

    done = camq("doctor", "--json", **away)

    (report,) = lines(done)
    checks = {check["name"]: check for check in report["checks"]}  # type: ignore[attr-defined]
    assert (done.returncode, report["ok"]) == (4, False)
    assert [checks[name]["ok"] for name in ("versions", "redis", "storage", "workers")] == [True, False, True, False]
    assert "127.0.0.1:9" in checks["redis"]["detail"]
    assert "CAMQ_REDIS_URL" in checks["redis"]["remedy"]
    assert "hush" not in done.stdout + done.stderr
