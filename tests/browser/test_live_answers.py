"""The live page's answers, byte by byte: strangers, hostile uploads, unknown addresses, and the commands."""

import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3
from starlette.datastructures import UploadFile

from producer.inputs.source import BytesSource
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import submit
from producer.web import report
from producer.web.live import uploads
from shared.config import Settings
from tests.acceptance.command import CAMQ, Command, run_apart
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.servers.live_page import Ask, live_page
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


def test_strangers_get_nothing(ask: Ask, services: Services, worker: ScriptedWorker) -> None:
    """Neither without the cookie, nor under another name, nor from another page."""
    job = submit(services, [BytesSource("a.png", picture())], Request())

    for path in ("/", f"/jobs/{job}", f"/jobs/{job}/images", f"/jobs/{job}/images/0/original"):
        assert ask(path).status == 200
        assert ask(path, Cookie=None).status == 401
        assert ask(path, Host="evil.example").status == 421
    assert ask(f"/jobs/{job}/cancel", "POST", Origin="http://evil.example").status == 403
    assert ask(f"/jobs/{job}/cancel", "POST", Origin=None).status == 403
    assert ask(f"/jobs/{job}/cancel").status == 405
    assert services.ledger.status(job).cancelled == 0


@pytest.mark.parametrize("path", ["/", "/jobs/none", "/nowhere", "/jobs/none/images/0/original", "/jobs/none/images"])
def test_every_answer_has_the_headers(ask: Ask, path: str) -> None:
    """Pages and errors alike; an unknown job is not found, and its page says what to do."""
    answer = ask(path)

    assert answer.status == (200 if path == "/" else 404)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "script-src 'nonce-" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path", ["images/{}/original", "images/{}/overlays/1", "images/0/overlays/{}"], ids=["original", "overlay", "rank"]
)
@pytest.mark.parametrize("digits", [300, 5000])
def test_a_huge_number_in_an_address_is_not_found(
    ask: Ask, services: Services, worker: ScriptedWorker, path: str, digits: int
) -> None:
    """Python refuses to read thousands of digits, and storage has no such key; neither is a fault of the page."""
    job = submit(services, [BytesSource("a.png", picture())], Request())
    assert ask(f"/jobs/{job}/{path.format('9' * digits)}").status == 404


@pytest.mark.parametrize("top_k", ["9" * 5000, "²"])
def test_a_number_of_classes_that_cannot_be_is_refused(ask: Ask, worker: ScriptedWorker, top_k: str) -> None:
    """The form's reader cannot be made to fail."""
    answer = ask("/jobs", "POST", fields={"pictures": ("a.png", picture()), "top_k": top_k})
    assert (answer.status, "invalid top_k" in answer.json()["error"]) == (400, True)


def test_an_upload_that_hides_its_length_is_refused(ask: Ask, worker: ScriptedWorker) -> None:
    """A body in chunks has no end that was announced, whatever a length beside it says."""
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "multipart/form-data; boundary=b"}
    assert ask("/jobs", "POST", **headers).status == 413
    assert ask("/jobs", "POST", **headers, **{"Content-Length": "5"}).status == 413


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half"])
def test_headers_that_do_not_end_are_cut_off(services: Services, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Each such connection would hold a file of the server for ever. A second request has its own time."""
    monkeypatch.setattr("producer.web.live.serve.HEADERS_S", 0.3)
    with (
        live_page(services) as ask,
        socket.create_connection(("127.0.0.1", ask.port), timeout=5) as slow,
    ):
        slow.sendall(sent)
        assert slow.recv(1) == b""


@pytest.mark.parametrize(("pieces", "least", "whole_s"), [(0, 1, 60), (6, 1, 60), (50, 1000, 60), (50, 1, 1)], ids=str)
def test_a_body_that_stalls_is_cut(
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    pieces: int,
    least: int,
    whole_s: float,
) -> None:
    """With 408, and nothing in the log. One that comes slowly, but comes, is waited for, unless it comes too slowly, or
    all of it takes too long."""
    monkeypatch.setattr("producer.web.live.serve.BODY_S", 0.6)
    monkeypatch.setattr("producer.web.live.serve.BODY_BYTES", least)
    monkeypatch.setattr("producer.web.live.serve.WHOLE_BODY_S", whole_s)
    with live_page(services) as ask, socket.create_connection(("127.0.0.1", ask.port), timeout=5) as slow:
        headers = {"Host": f"127.0.0.1:{ask.port}", "Content-Length": "1000", **ask.own}
        headers["Content-Type"] = "multipart/form-data; boundary=b"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        slow.sendall(f"POST /jobs HTTP/1.1\r\n{lines}\r\n--b\r\n".encode())
        sent = 0
        while sent < pieces and not select.select([slow], [], [], 0.2)[0]:
            slow.sendall(b"x")
            sent += 1
        assert (sent < pieces) == (pieces == 50)  # cut among its pieces, or when they ended
        answer = slow.recv(100)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert slow.recv(100) == b""
    assert caplog.text == ""


def test_there_is_a_limit_of_connections(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it the page refuses, instead of running out of files; it answers as soon as others end."""
    monkeypatch.setattr("producer.web.live.serve.MOST_CONNECTIONS", 5)
    with live_page(services) as ask:
        others = [socket.create_connection(("127.0.0.1", ask.port)) for _ in range(5)]
        wait_until(lambda: ask("/").status == 503, "the limit is reached")
        for other in others:
            other.close()
        wait_until(lambda: ask("/").status == 200, "the page answers again")


def test_an_upload_that_poses_as_a_picture_never_comes_back(
    ask: Ask, services: Services, worker: ScriptedWorker
) -> None:
    """A page has no thumbnail; of a picture with a page behind it only the picture is left."""
    page = b"<html><script>alert(1)</script>"
    files = {"page.png": page, "both.png": picture() + page}
    answer = ask(
        "/jobs",
        "POST",
        fields=[("pictures", (name, data, "text/html")) for name, data in files.items()],
    )
    assert answer.status == 201
    images = json.loads(answer.data)["url"] + "/images"

    assert (ask(f"{images}/0/original").status, ask(f"{images}/0/original").data) == (204, b"")
    shown = ask(f"{images}/1/original")
    assert (shown.status, shown.headers["content-type"]) == (200, "image/webp")
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert b"script" not in shown.data
    assert ask(f"{images}/7/original").status == 404
    assert ask(f"{images}/1/overlays/1").status == 404


def test_an_upload_above_the_limit_is_refused(ask: Ask, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the length it announces, before it is read."""
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 100)
    answer = ask("/jobs", "POST", fields={"pictures": ("a.png", picture() + bytes(200))})

    assert answer.status == 413
    assert "camq submit" in json.loads(answer.data)["error"]


def test_an_uploaded_file_can_be_read_more_than_once() -> None:
    """As the picture's size is asked for first, or its pages; a second reading that finds nothing would fail it."""
    source = uploads.source_of(UploadFile(io.BytesIO(b"abc"), size=3, filename="a.png"))
    assert [source.read(10), source.read(10)] == [b"abc", b"abc"]


def test_an_upload_that_cannot_be_says_why(ask: Ask) -> None:
    """As JSON, which the page's script shows: without pictures, and without a model that could take them."""
    empty = ask("/jobs", "POST", fields={"name": "nothing"})
    early = ask("/jobs", "POST", fields={"pictures": ("a.png", picture())})

    assert (empty.status, json.loads(empty.data)) == (400, {"error": "no pictures chosen"})
    assert early.status == 400
    assert "no worker has offered a model yet" in json.loads(early.data)["error"]


@pytest.fixture
def finished(services: Services, worker: ScriptedWorker) -> str:
    """Two pictures that succeeded and a broken one."""
    sources = [BytesSource(name, picture((80, 60))) for name in ("a.png", "b-broken.png", "c #1.png")]
    job = submit(services, sources, Request(name="report me"))
    worker.work_off(job)
    return job


def test_failed_images_of_one_code_are_run_again(ask: Ask, finished: str) -> None:
    """Those of another code stay as they are."""
    retry = f"/jobs/{finished}/retry?code="

    assert json.loads(ask(f"{retry}timeout", "POST").data) == {"done": 0}
    assert json.loads(ask(f"{retry}not_an_image", "POST").data) == {"done": 1}


def camq(settings: Settings, folder: Path, *arguments: str) -> Command:
    return run_apart(*arguments, cwd=folder, env=os.environ | settings.environment())


def test_the_report_has_its_thumbnails_beside_it(settings: Settings, tmp_path: Path, finished: str) -> None:
    """Originals and overlays under names that the page quotes."""
    done = camq(settings, tmp_path, "report", finished, "-o", "out/my report.html", "--json")
    page = (tmp_path / "out/my report.html").read_text()
    files = {path.name for path in (tmp_path / "out/my report_files").iterdir()}

    assert (done.returncode, json.loads(done.stdout)) == (0, {"report": "out/my report.html", "images": 3})
    assert done.stderr.splitlines() == ["made the folder out", "9 thumbnails in out/my report_files"]
    assert files == {f"{name}.webp" for name in ("0", "0-1", "0-2", "0-3", "1", "2", "2-1", "2-2", "2-3")} | {
        ".camq-files"
    }
    assert '"original":"my%20report_files/{index}.webp"' in page
    assert "report me" in page
    assert "the bytes are not a picture" in page


def test_a_page_has_few_pictures_inside(
    services: Services, finished: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are asked for: beside the page there is room for more."""
    monkeypatch.setattr(report, "MOST_EMBEDDED", 2)

    assert report.write_report(services, finished, tmp_path / "inside.html", embed=True, most=3) == 2
    assert report.write_report(services, finished, tmp_path / "beside.html", most=3) == 3


def test_a_report_can_be_one_file(settings: Settings, tmp_path: Path, finished: str) -> None:
    """Nothing lies beside it; what was left out by the limit is said, and a failure beyond it is told all the same."""
    done = camq(settings, tmp_path, "report", finished, "--embed", "--limit", "1")

    assert (done.returncode, done.stdout) == (0, "report.html\n")
    assert "the first 1 of 3 images" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    page = (tmp_path / "report.html").read_text()
    assert '"data:image/webp;base64,' in page
    assert "shows the first 1 of 3 pictures" in page
    assert "<bdi>b-broken.png</bdi>" in page


def test_a_report_of_no_job_is_none(settings: Settings, tmp_path: Path, finished: str) -> None:
    """Exit status 3, and the nearest id."""
    done = camq(settings, tmp_path, "report", finished[1:])

    assert done.returncode == 3
    assert f"did you mean {finished}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_ui_command_prints_one_link_and_ends_by_ctrl_c(settings: Settings, services: Services) -> None:
    """The link works; Ctrl-C is no error of the server's."""
    environment = os.environ | settings.environment()
    process = subprocess.Popen([CAMQ, "ui"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        with urllib3.PoolManager() as pool:
            assert pool.request("GET", link, redirect=False, retries=3).status == 303
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    finally:
        process.kill()

    assert (rest, errors.strip()) == ("", "")
    assert process.returncode in (0, 130)


def test_without_its_packages_the_ui_says_how_to_install_them(settings: Settings, services: Services) -> None:
    """In one line, and with a status of its own."""
    code = "import sys; sys.modules |= {'starlette': None, 'uvicorn': None};"
    code += "from producer.cli.main import main; main(['ui'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | settings.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 5
    assert "pip install 'camq[ui]'" in done.stderr
