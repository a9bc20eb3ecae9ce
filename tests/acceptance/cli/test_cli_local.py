"""`camq up`, `run` and `demo`: real servers, a real worker, a real network (EfficientNet-Lite0, from PyPI)."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import urllib3
from PIL import Image

from producer import Client
from shared.broker import make_app
from shared.config import Settings
from shared.contract import CHUNK_TASK
from shared.storage import S3Store
from tests.acceptance.command import CAMQ
from tests.acceptance.local import Up, camq, serving
from tests.support.jobs.scripted_worker import picture
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

MODEL = "efficientnet_lite0"
READY_S = 120


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One `camq up` for the tests of this module."""
    with serving("--model", MODEL, folder=tmp_path_factory.mktemp("up")) as running:
        yield running


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_bytes(picture((64, 48), (90 * number, 60, 30)))
    (folder / "2.jpg").write_text("not a picture")
    return folder


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_second_terminal_can_submit_watch_and_fetch(up: Up, photos: Path, tmp_path: Path) -> None:
    """With nothing but the variables of `camq.env`."""
    done = up.camq("submit", photos, "--wait", "--json", "--top-k", 2)
    job, final = (json.loads(line) for line in done.stdout.splitlines())

    assert done.returncode == 1
    assert (final["job"], final["state"], final["succeeded"], final["failed"]) == (job["job"], "partial", 2, 1)
    assert up.camq("results", job["job"], "--out", tmp_path / "got").returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "got" / "results.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == ["succeeded", "succeeded", "failed"]
    assert lines[2]["error"]["code"] == "not_an_image"
    for prediction in lines[0]["predictions"]:
        with Image.open(tmp_path / "got" / prediction["overlay"]) as overlay:
            assert (overlay.format, overlay.size) == ("JPEG", (64, 48))


def test_its_link_opens_the_live_page(up: Up) -> None:
    """A picture dropped there is a job like any other."""
    home, _, token = up.page.partition("/?token=")
    port = home.rpartition(":")[2]
    with urllib3.PoolManager(timeout=30) as pool:
        opened = pool.request("GET", up.page, redirect=False)
        own = {"Cookie": f"camq-{port}={token}", "Origin": home}
        dropped = pool.request("POST", f"{home}/jobs", fields={"pictures": ("a.png", picture())}, headers=own)

    assert (opened.status, dropped.status) == (303, 201)
    job = dropped.json()["url"].rpartition("/")[2]
    assert json.loads(up.camq("watch", job, "--json").stdout)["state"] == "succeeded"
    assert json.loads(up.camq("status", "latest", "--json").stdout)["job"] == job


def test_overlays_go_to_the_users_own_bucket_with_ids_and_tags(up: Up, photos: Path, tmp_path: Path) -> None:
    """Through a real worker: the address stands in the result, and what is fetched from there is the overlay."""
    with closing(S3Store.from_settings(Settings.load(up.environment, bucket="my-own"))) as mine:
        mine.ensure_bucket()
        (tmp_path / "list.jsonl").write_text(
            "".join(json.dumps({"source": str(path), "id": path.stem}) + "\n" for path in sorted(photos.iterdir()))
        )
        done = up.camq(
            *("submit", "--manifest", tmp_path / "list.jsonl", "--tag", "a b", "--output", "s3://my-own/out"),
            *("--top-k", 1, "--heatmaps", "--keep-maps", "--wait", "--json"),
        )
        job = json.loads(done.stdout.splitlines()[0])["job"]
        lines = [json.loads(line) for line in up.camq("results", job, "--json").stdout.splitlines()]
        fetched = up.camq("results", job, "--out", tmp_path / "got")
        there = [key for key, _ in mine.list(f"out/{job}/")]
        kept = [address for address, _ in mine.list(f"s3://camq/jobs/{job}/results/")]
        [stored] = [mine.get(address) for address in kept if address.endswith(".jsonl")]

    assert done.returncode == 1, done.stderr
    assert [(line["id"], line["state"], line["tags"]) for line in lines] == [
        ("0", "succeeded", ["a b"]),
        ("1", "succeeded", ["a b"]),
        ("2", "failed", ["a b"]),
    ]
    assert [json.loads(line).get("id") for line in stored.splitlines()] == ["0", "1", "2"]
    assert b"a b" not in stored  # tags are the job's, and kept once
    assert lines[0]["predictions"][0]["overlay"] == f"s3://my-own/out/{job}/overlays/0-1.jpg"
    names = ("heatmaps/0-1.png", "heatmaps/1-1.png", "job.json", "maps/0.npz", "maps/1.npz")
    assert there == [f"out/{job}/{name}" for name in (*names, "overlays/0-1.jpg", "overlays/1-1.jpg")]
    assert fetched.returncode == 0, fetched.stderr
    with Image.open(tmp_path / "got" / "overlays" / "0-1.jpg") as overlay:
        assert overlay.size == (64, 48)


def test_celerys_own_view_of_the_tasks_is_true(up: Up, photos: Path) -> None:
    """The chunk's task succeeded, although one of its images did not."""
    job = json.loads(up.camq("submit", photos, "--wait", "--json").stdout.splitlines()[0])["job"]

    def states() -> list[str]:
        status = json.loads(up.camq("status", job, "--tasks", "--json").stdout)
        return [task["state"] for task in status["tasks"]]

    wait_until(lambda: states() == ["SUCCESS"], "the task's success is stored")


def test_task_events_are_sent_once_somebody_has_asked_for_them(up: Up, photos: Path) -> None:
    """As Flower does, and `celery -A shared.celery_app control enable_events` beside `celery events`."""
    settings = Settings.load(up.environment)
    heard: list[str] = []
    handlers = {"*": lambda event: heard.append(event["type"])}
    with (
        closing(make_app(settings)) as app,
        app.events.Receiver(app.connection_for_read(), handlers).consumer_context() as (connection, _, _),
        Client(settings) as client,
    ):

        def listen() -> None:
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.1)

        listen()  # subscribes
        # Told so only while there are none yet.
        (asked,) = app.control.broadcast("enable_events", reply=True, limit=1)
        client.submit(photos)
        wait_until(lambda: listen() or "task-succeeded" in heard, f"the chunk's events are heard: {heard}")
        (ended,) = app.control.broadcast("disable_events", reply=True, limit=1)

    assert [answer for reply in (asked, ended) for answer in reply.values()] == [
        {"ok": "task events enabled"},
        {"ok": "task events disabled"},
    ]


def test_workers_answer_celerys_questions_and_refuse_its_orders(up: Up) -> None:
    """Whoever reaches the broker could otherwise stop a worker, or leave it alive without work."""
    before = [worker["pid"] for worker in up.workers()]
    orders = {
        "shutdown": {},
        "cancel_consumer": {"queue": "camq"},
        "rate_limit": {"task_name": CHUNK_TASK, "rate_limit": "1/h"},
        "pool_shrink": {"n": 1},
        "revoke": {"task_id": "some-job.000000.1"},
    }
    with closing(make_app(Settings.load(up.environment))) as app:
        for order, arguments in orders.items():
            replies = app.control.broadcast(order, arguments=arguments, reply=True, timeout=10, limit=len(before))
            answers = [answer for reply in replies for answer in reply.values()]
            assert [answer.keys() for answer in answers] == [{"error"}] * len(before), answers
        answered = app.control.inspect(limit=len(before), timeout=10).stats()

    assert len(answered) == len(before)
    assert [worker["pid"] for worker in up.workers()] == before


def test_the_way_in_is_private_and_no_secret_is_said(up: Up) -> None:
    """`camq.env` is for its owner; terminals are looked at by others."""
    env_file = up.folder / "camq-data" / "camq.env"
    secrets = [value for name, value in up.environment.items() if "KEY" in name or "URL" in name]

    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert len(secrets) == 3
    commands = " ".join(" ".join(child.cmdline()) for child in children(up.process.pid))
    said = (up.folder / "err").read_text() + commands
    assert not [secret for secret in secrets if secret in said]


@pytest.mark.slow
def test_a_killed_worker_leaves_the_list_and_another_takes_its_place(up: Up) -> None:
    """The dead worker leaves within five seconds; `pid` is the process that does the work."""
    (before,) = up.workers()
    assert before["pid"] in [child.pid for child in children(up.process.pid)]

    os.kill(int(str(before["pid"])), signal.SIGKILL)

    wait_until(lambda: before["pid"] not in [w["pid"] for w in up.workers()], "it has left", timeout_s=5)
    wait_until(lambda: [w["state"] for w in up.workers()] == ["ready"], "another is ready", timeout_s=READY_S)


@pytest.mark.slow
def test_the_worker_command_becomes_the_worker(up: Up) -> None:
    """The same process, so that a signal to `camq worker` reaches what does the work, which then leaves."""
    with subprocess.Popen(
        [CAMQ, "worker", "--model", MODEL],
        cwd=up.folder,
        env=os.environ | up.environment,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: process.pid in [w["pid"] for w in up.workers()], "it is listed", timeout_s=READY_S)
        wait_until(
            lambda: {w["pid"]: w["state"] for w in up.workers()}[process.pid] == "ready", "ready", timeout_s=READY_S
        )
        process.terminate()
        process.wait(timeout=60)

    assert process.pid not in [w["pid"] for w in up.workers()]


def test_run_explains_everything_and_leaves_nothing_running(photos: Path, tmp_path: Path) -> None:
    """The result lines on stdout and in the folder; exit status 1 because one file is no picture. The model is the one
    asked for, whatever CAMQ_MODEL says."""
    before = {process.pid for process in psutil.process_iter()}
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    done = camq(
        "run", "photos", "--model", MODEL, "--classes", '283,"tabby"', "--json", "--out", "seen",
        cwd=tmp_path, env={"TMPDIR": str(scratch), "CAMQ_MODEL": "resnet18"},
    )  # fmt: skip

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1, done.stderr
    assert [line["state"] for line in lines] == ["succeeded", "succeeded", "failed"]
    assert [p["label"] for p in lines[0]["predictions"]] == ["Persian cat", "tabby"]
    assert all((tmp_path / "seen" / p["overlay"]).is_file() for line in lines for p in line["predictions"])
    assert list(scratch.glob("camq-*")) == []  # torch keeps an empty cache folder of its own beside
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and str(scratch) in str(p.info)]
    assert left == []


@pytest.mark.slow
def test_the_demo_calls_the_cat_a_cat(tmp_path: Path) -> None:
    """With its picture, table, lines and contact sheet, and nothing but the folder left behind."""
    done = camq("demo", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "chelsea" in done.stdout
    folder = tmp_path / "demo-output"
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len(lines) >= 5
    assert lines[0]["source"] == "chelsea"
    assert "cat" in lines[0]["predictions"][0]["label"]
    assert all(len(line["predictions"]) == 3 for line in lines)
    with Image.open(folder / "contact-sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width > 1000
    assert "contact-sheet.jpg" in done.stderr
    right = [line["truth"]["rank"] for line in lines]
    accuracy, near = (sum(rank <= best for rank in right) / len(lines) for best in (1, 3))
    said = f"{len(lines)} images with ground truth; accuracy: {accuracy:.1%}, among the best 3: {near:.1%}; calibration"
    assert said in " ".join(done.stderr.split())
    assert right[0] == 1
    assert "Was it right?" in (folder / "report.html").read_text()


def test_ctrl_c_ends_everything_that_up_started(up: Up) -> None:
    """The exit status is 0, and the data stays. It stops the servers of this file, so the test comes last."""
    started = children(up.process.pid)
    up.process.send_signal(signal.SIGINT)

    assert up.process.wait(timeout=60) == 0
    assert len(started) >= 3
    wait_until(lambda: not [child for child in started if child.is_running()], "all children have ended")
    assert "the data is in camq-data" in (up.folder / "err").read_text()
    assert (up.folder / "camq-data" / "redis").is_dir()
