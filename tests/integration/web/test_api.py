"""The HTTP API on a real Redis, with a worker played by hand."""

from pathlib import Path

import msgspec
import pytest

from producer.results.originals import references
from producer.services import Services
from tests.support.jobs.scripted_worker import MODEL, ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore, pictures
from tests.support.servers.api import TestClient, api

CAT = picture(colour=(200, 10, 10))


def upload(client: TestClient, *names: str, key: str | None = None, **fields: str) -> str:
    """The id of a job of these pictures."""
    files = [("pictures", (name, data)) for name, data in zip(names, pictures(len(names)), strict=True)]
    answer = client.post("/v1/uploads", files=files, data=fields, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["url"]
    return str(answer.json()["job"])


def test_uploads_are_explained_and_read_page_by_page(client: TestClient, worker: ScriptedWorker) -> None:
    """From the form to the last overlay."""
    job = upload(client, *(f"{number}.png" for number in range(5)), top_k="2", name="five", tags="a")
    assert client.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    worker.work_off(job)

    status = client.get(f"/v1/jobs/{job}").json()
    first = client.get(f"/v1/jobs/{job}/results?limit=3").json()
    second = client.get(first["next"]).json()
    last = second["results"][-1]

    assert (status["state"], status["name"], status["tags"], status["total"]) == ("succeeded", "five", ["a"], 5)
    assert [line["index"] for line in first["results"] + second["results"]] == [0, 1, 2, 3, 4]
    assert second["next"] is None
    assert (last["source"], len(last["predictions"])) == ("4.png", 2)
    assert last == client.get(f"/v1/jobs/{job}/images/4").json()
    assert last["predictions"][1]["overlay"] == f"/v1/jobs/{job}/images/4/overlays/2"


def test_json_lines_are_the_pages_records(client: TestClient, worker: ScriptedWorker) -> None:
    """One document per line."""
    job = upload(client, "a.png", "b.png")
    worker.work_off(job)

    lines = client.get(f"/v1/jobs/{job}/results.jsonl")

    assert lines.headers["content-type"].startswith("application/jsonl")
    assert [msgspec.json.decode(line) for line in lines.content.splitlines()] == client.get(
        f"/v1/jobs/{job}/results"
    ).json()["results"]


def test_an_answer_about_a_finished_job_is_not_sent_twice(client: TestClient, worker: ScriptedWorker) -> None:
    """Its ETag holds until a retry ends."""
    job = upload(client, "a.png", "broken.png")
    assert "etag" not in client.get(f"/v1/jobs/{job}/results").headers
    worker.work_off(job)

    for path in (f"/v1/jobs/{job}/results", f"/v1/jobs/{job}/results.jsonl"):
        tag = client.get(path).headers["etag"]
        same = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)

    worker.broken = None
    assert client.post(f"/v1/jobs/{job}/retry?code=not_an_image").json() == {"job": job, "done": 1}
    worker.work_off(job)
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_request_repeated_with_its_key_begins_no_second_job(client: TestClient, services: Services) -> None:
    """Another request with the same key is refused, and another token's key is another key."""
    job = upload(client, "a.png", key="k")

    assert upload(client, "a.png", key="k") == job
    conflict = client.post("/v1/uploads", files={"pictures": ("a.png", CAT)}, headers={"Idempotency-Key": "k"})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflict")
    with api(services) as other:
        assert upload(other, "a.png", key="k") != job


def test_a_manifest_names_uploads_and_allowed_addresses(
    services: Services, store: CountingStore, worker: ScriptedWorker
) -> None:
    """In its order, with its ids; the same upload twice is two images."""
    store.buckets["mine"] = {}
    store.put("s3://mine/in/c.png", CAT)
    services.settings = msgspec.structs.replace(services.settings, serve_input_prefixes="s3://mine/in")
    manifest = b"source,id\nb.png,one\ns3://mine/in/c.png,two\nb.png,three\n"
    files = [("pictures", ("a.png", CAT)), ("pictures", ("b.png", picture())), ("manifest", ("m.csv", manifest))]

    with api(services) as client:
        job = client.post("/v1/uploads", files=files).json()["job"]
        worker.work_off(job)
        found = client.get(f"/v1/jobs/{job}/results").json()["results"]

    assert [(line["source"], line["id"], line["state"]) for line in found] == [
        ("b.png", "one", "succeeded"),
        ("s3://mine/in/c.png", "two", "succeeded"),
        ("b.png", "three", "succeeded"),
    ]


def test_a_model_goes_by_its_name(client: TestClient, tmp_path: Path) -> None:
    """A model file, or a folder, would be one of the server's: it is not even looked at."""
    (tmp_path / "secret.toml").write_text("password = 'hunter2'\n")
    (tmp_path / "config.json").write_text("{}")
    for model in (str(tmp_path / "secret.toml"), str(tmp_path), str(tmp_path / "none"), "python:os:getcwd"):
        refused = client.post("/v1/uploads", files=[("pictures", ("a.png", CAT))], data={"model": model})
        assert refused.status_code == 400
        assert "over HTTP a model goes by its name" in refused.text or "no model 'python:os:getcwd'" in refused.text
        assert "password" not in refused.text


def test_a_page_and_a_range_may_be_asked_for(client: TestClient, services: Services) -> None:
    """Of an upload, as `NAME#n`; a wrong range is refused before anything is stored."""
    manifest = ("manifest", ("m.csv", b"source,id\nscan.tif#2,one\nscan.tif,two\n"))
    files = [("pictures", ("scan.tif", CAT)), manifest]

    refused = client.post("/v1/uploads", files=files, data={"range": "9:1"})
    assert (refused.status_code, "invalid range '9:1'" in refused.text) == (400, True)
    job = client.post("/v1/uploads", files=files, data={"range": "0:4095", "truncated": "keep"}).json()["job"]
    options = services.ledger.options(job)
    assert (options.range, options.truncated) == ("0:4095", "keep")
    found = list(references(services.ledger, services.store, job))
    assert [(one.source, one.page or None) for one in found] == [("scan.tif#2", 2), ("scan.tif", None)]
    assert found[0].key == found[1].key


@pytest.mark.parametrize(
    "source",
    ["/etc/passwd", "s3://camq/inputs/x", "s3://mine/inner.png", "s3://mine/in/../x.png", "file:///x", "*.png"],
)
def test_nothing_else_can_be_named(
    source: str, services: Services, store: CountingStore, worker: ScriptedWorker
) -> None:
    """No path of the server, no bucket that the operator did not allow; in a manifest, in JSON and in a form."""
    store.buckets["mine"] = {}
    for there in ("s3://camq/inputs/x", "s3://mine/inner.png"):
        store.put(there, CAT)
    services.settings = msgspec.structs.replace(services.settings, serve_input_prefixes="s3://mine/in/")
    with api(services) as client:
        answers = [
            client.post("/v1/uploads", files={"manifest": ("m.csv", f"source,id\n{source},1\n".encode())}),
            client.post("/v1/jobs", json={"images": [source]}),
            client.post("/v1/jobs", json={"images": [{"source": source, "id": "1"}]}),
            client.post("/v1/explain", files={"source": (None, source)}),
        ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(400, "usage")] * 4
    assert services.ledger.jobs(10) == []


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1:1/a.png",
        "https://pics.example/other/a.png",
        "https://pics.example.evil.example/in/a.png",
        "https://pics.example@evil.example/in/a.png",
        "https://me:pw@pics.example/in/a.png",
        "https://pics.example/in/../a.png",
        "https://pics.example/in/%2e%2e/a.png",
        "https://pics.example\\@evil.example/in/a.png",
        "http://pics.example/in/a.png",
        "ftp://pics.example/in/a.png",
    ],
)
def test_a_url_that_the_operator_did_not_allow_is_refused(
    source: str, services: Services, worker: ScriptedWorker
) -> None:
    """In its normal form, whatever it looks like."""
    services.settings = msgspec.structs.replace(services.settings, serve_input_prefixes="https://pics.example/in/")
    with api(services) as client:
        answer = client.post("/v1/jobs", json={"images": [source]})

    assert (answer.status_code, answer.json()["code"]) == (400, "usage")
    assert "pw" not in answer.text
    assert services.ledger.jobs(10) == []


def test_an_allowed_url_never_leads_to_a_private_network(services: Services, worker: ScriptedWorker) -> None:
    """Though its prefix is allowed: the picture fails alone, and its neighbour is sent."""
    services.settings = msgspec.structs.replace(services.settings, serve_input_prefixes="http://")
    manifest = b"source,id,label\nhttp://localhost:1/a.png?token=secret,one,tench\nb.png,two,tabby\n"
    files = [("pictures", ("b.png", CAT)), ("manifest", ("m.csv", manifest)), ("truth", (None, "labels"))]
    with api(services) as client:
        job = client.post("/v1/uploads", files=files).json()["job"]
        worker.work_off(job)
        first, second = client.get(f"/v1/jobs/{job}/results").json()["results"]

    assert (first["source"], first["id"], first["error"]["code"]) == ("http://localhost:1/a.png", "one", "denied")
    assert "an address of a private network" in first["error"]["message"]
    assert second["state"] == "succeeded"


def test_a_prefix_stands_for_its_pictures(services: Services, store: CountingStore, worker: ScriptedWorker) -> None:
    """They are read in place."""
    store.buckets["mine"] = {}
    for name in ("a.png", "b.png"):
        store.put(f"s3://mine/in/{name}", CAT)
    store.put("s3://mine/in/notes.txt", b"a text")
    services.settings = msgspec.structs.replace(services.settings, serve_input_prefixes="s3://mine/")
    with api(services) as client:
        job = client.post("/v1/jobs", json={"images": ["s3://mine/in/"], "options": {"top_k": 1}}).json()["job"]

    assert (services.ledger.status(job).total, services.ledger.options(job).top_k) == (2, 1)


def test_jobs_are_listed_page_by_page(client: TestClient) -> None:
    """The newest first, by tag."""
    jobs = [upload(client, "a.png", tags=tag) for tag in ("x", "y", "x", "x")]

    first = client.get("/v1/jobs?tag=x&limit=2").json()
    second = client.get(first["next"]).json()

    assert [one["job"] for one in first["jobs"]] == [jobs[3], jobs[2]]
    assert ([one["job"] for one in second["jobs"]], second["next"]) == ([jobs[0]], None)


def test_jobs_are_cancelled_and_deleted(client: TestClient, store: CountingStore) -> None:
    """Nothing of a deleted job is left but its inputs."""
    job = upload(client, "a.png")

    assert client.post(f"/v1/jobs/{job}/cancel").json() == {"job": job, "done": True}
    assert client.post(f"/v1/jobs/{job}/cancel").json() == {"job": job, "done": False}
    assert client.delete(f"/v1/jobs/{job}").json()["objects"] == 1
    gone = client.get(f"/v1/jobs/{job}")
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_job")
    assert [key for key, _ in store.list("jobs/")] == []


def test_models_and_workers_are_shown(client: TestClient) -> None:
    """With the card that requests are checked against."""
    assert client.get("/v1/models").json() == [{"model": MODEL, "served": True}]
    assert client.get(f"/v1/models/{MODEL}").json()["labels"][2] == "tabby"
    assert client.get("/v1/models/other@1").json()["code"] == "not_found"
    assert [one["worker"] for one in client.get("/v1/workers").json()] == ["hand-tiny"]


def test_overlays_come_as_they_were_stored_or_as_a_link(
    client: TestClient, worker: ScriptedWorker, store: CountingStore
) -> None:
    """A link only to what is there."""
    job = upload(client, "a.png", format="png")
    worker.work_off(job)
    store.put(f"jobs/{job}/overlays/0-1.png", b"the overlay")

    answer = client.get(f"/v1/jobs/{job}/images/0/overlays/1")
    link = client.get(f"/v1/jobs/{job}/images/0/overlays/1?link=true")

    assert (answer.content, answer.headers["content-type"]) == (b"the overlay", "image/png")
    assert (link.status_code, link.headers["location"].partition("?")[0]) == (
        307,
        f"memory://camq/jobs/{job}/overlays/0-1.png",
    )
    for path in ("0/overlays/9", "0/overlays/9?link=true", "7/overlays/1", "7"):
        assert client.get(f"/v1/jobs/{job}/images/{path}").status_code == 404
