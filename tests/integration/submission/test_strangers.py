"""What strangers put into folders and the bucket is input, not truth: it leads to no other file and no other object."""

import json
import os
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image

from producer import Client
from producer.cli.commands.show import show_file
from producer.results.download import download
from producer.results.originals import references
from producer.services import Services
from producer.web.kit.thumbnails import thumbnail
from producer.web.report import write_report
from shared import keys
from shared.contract import Options
from shared.errors import ObjectTooLargeError, UsageError
from shared.storage import MemoryStore, job_objects
from shared.storage.job_objects import read_references, read_results
from tests.support.jobs.scripted_worker import MODEL, ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def store(store: CountingStore) -> CountingStore:
    store.buckets |= {"private": {}, "ours": {}}
    return store


def rewritten(store: MemoryStore, at: str, **fields: object) -> None:
    """The first line of a JSON-lines object with other fields."""
    first, *rest = store.get(at).splitlines()
    store.put(at, b"\n".join([json.dumps(json.loads(first) | fields).encode(), *rest]))


@pytest.mark.parametrize("output", ["", "s3://ours/cams"])
def test_what_a_bucket_writer_calls_an_overlay_is_not_believed(
    client: Client, services: Services, worker: ScriptedWorker, store: MemoryStore, tmp_path: Path, output: str
) -> None:
    """Results, stream, download and report read the overlays that follow from job, image and rank, and no other."""
    job = client.submit([picture()], top_k=1, **({"output": output} if output else {}))
    worker.work_off(job.id)
    store.put("s3://private/.bashrc", b"secret")
    key = keys.results_object(job.id, "000000", 1)
    (line,) = (json.loads(text) for text in store.get(key).splitlines())
    line["predictions"][0]["overlay"] = "s3://private/.bashrc"
    rewritten(store, key, predictions=line["predictions"])
    right = keys.overlay_object(job.id, 0, 1, "jpg", output or None)

    seen = [image.predictions[0].overlay_key for image in (*job.results(), *job.stream())]
    list(download(services.ledger, store, job.id, tmp_path / "out"))
    write_report(services, job.id, tmp_path / "page.html")

    assert seen == [right, right]
    assert [path.name for path in (tmp_path / "out/overlays").iterdir()] == ["0-1.jpg"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_lines_of_images_that_the_job_does_not_have_are_passed_over(
    client: Client, services: Services, worker: ScriptedWorker, store: MemoryStore
) -> None:
    """A stream keeps a byte per image: an index of 10^11 would take all memory."""
    job = client.submit([picture(), picture(colour=(1, 2, 3))], top_k=1)
    worker.work_off(job.id)
    key = keys.results_object(job.id, "000000", 1)
    for index in (10**11, -1, 2):
        rewritten(store, key, index=index)
        assert [image.index for image in job.stream()] == [1, 0]
        assert [image.index for image in job.results()] == [0, 1]


def test_a_results_object_that_is_too_large_is_not_read(
    client: Client, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to the bucket would else fill the reader's memory. So it is with references."""
    job = client.submit([picture()], top_k=1)
    worker.work_off(job.id)
    assert len(list(job.results())) == 1
    monkeypatch.setattr(job_objects, "MAX_BYTES", 20)
    monkeypatch.setattr(job_objects, "MOST_REFERENCE_BYTES", 20)

    (image,) = job.results()
    assert image.error
    assert (image.error.code, "000000-1" in image.error.message) == ("internal", True)
    for read in (
        lambda: read_references(worker.store, job.id, "000000", ""),
        lambda: read_results(worker.store, job.id, "000000", 1, options=Options(), total=1),
    ):
        with pytest.raises(ObjectTooLargeError):
            read()


@pytest.mark.parametrize("named", ["cat.jpg", "cat.png"])
def test_a_drawing_in_the_place_of_a_picture_runs_no_program(
    client: Client,
    worker: ScriptedWorker,
    store: MemoryStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: str,
) -> None:
    """Pillow would hand EPS to Ghostscript, whatever the file is called: one on the user's disk, or an overlay."""
    (tmp_path / "bin").mkdir()
    ran = tmp_path / "ran"
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # it is looked for again
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / named).write_bytes(drawing)
    with pytest.raises((OSError, SyntaxError)), Image.open(tmp_path / named) as opened:
        opened.load()
    assert ran.exists()  # what must not happen below
    ran.unlink()

    job = client.submit([picture()], top_k=1)
    worker.work_off(job.id)
    store.put(keys.overlay_object(job.id, 0, 1, "jpg"), drawing)
    (image,) = job.results()
    with pytest.raises(OSError, match="cannot identify"):
        image.predictions[0].overlay()
    with pytest.raises(UsageError, match="cannot show"):
        show_file(str(tmp_path / named), as_json=False)
    assert thumbnail(drawing, 64) is None
    assert not ran.exists()


def test_references_that_were_changed_are_not_followed(
    client: Client,
    services: Services,
    worker: ScriptedWorker,
    store: MemoryStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A report or the live page would read the object that they name with the reader's own keys."""
    job = client.submit([picture()], top_k=1)
    worker.work_off(job.id)
    store.put("s3://private/photo.png", picture())
    rewritten(store, keys.chunk_object(job.id, "000000"), key="s3://private/photo.png")

    read: list[str] = []
    monkeypatch.setattr(store, "get", lambda key, *more, get=store.get: read.append(key) or get(key, *more))
    write_report(services, job.id, tmp_path / "page.html")

    assert keys.chunk_object(job.id, "000000") in read
    assert "s3://private/photo.png" not in read


def test_what_is_no_picture_by_its_first_bytes_is_never_uploaded(
    client: Client, services: Services, store: MemoryStore, tmp_path: Path
) -> None:
    """A link in a folder from strangers may lead to a private key, whatever the link is called; pictures behind links
    are sent, those that are cut short too, for a worker says what is wrong with them."""
    secret = tmp_path / "id_rsa"
    secret.write_bytes(b"-----BEGIN OPENSSH PRIVATE KEY-----\nkey material\n")
    (tmp_path / "elsewhere.png").write_bytes(picture())
    gift = tmp_path / "gift"
    gift.mkdir()
    (gift / "1-holiday.png").symlink_to(secret)
    (gift / "2-linked.png").symlink_to(tmp_path / "elsewhere.png")
    (gift / "3-cut.png").write_bytes(picture()[:20])
    (gift / "4.tga").write_bytes(picture(file_format="tga"))
    (gift / "5-drawing.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")

    job = client.submit(gift, model=MODEL).id

    stored = [store.get(key) for key, _ in store.list(keys.INPUTS)]
    codes = [reference.error and reference.error.code for reference in references(services.ledger, store, job)]
    assert codes == ["not_an_image", None, None, None, "unsupported"]
    assert len(stored) == 3
    assert not [data for data in stored if b"key material" in data]
