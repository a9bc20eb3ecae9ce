"""Who may do what over HTTP, and what every refusal looks like."""

from collections.abc import Iterator

import msgspec
import pytest

from producer.services import Services
from shared import keys
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.servers.api import ROUTES, TestClient, api

SCOPES = ("read", "submit", "manage")


def filled(path: str) -> str:
    return path.format(job="x", index=0, rank=1, model="m")


@pytest.fixture
def nobody(services: Services) -> Iterator[TestClient]:
    with api(services, None) as found:
        yield found


def test_the_list_of_routes_is_complete(nobody: TestClient) -> None:
    """A new one needs its line in `tests/support/servers/api.py`."""
    paths = nobody.get("/v1/openapi.json").json()["paths"]

    assert {(path, method.upper()) for path, methods in paths.items() for method in methods} == {
        (path, method) for path, method, _ in ROUTES
    }


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"])
def test_without_a_token_every_address_answers_401(method: str, nobody: TestClient) -> None:
    """Those that do not exist as well, whatever the method."""
    for path in [*dict.fromkeys(path for path, *_ in ROUTES), "/v1", "/v1/", "/v1/nothing", "/v1/docs/"]:
        answer = nobody.request(method, filled(path), content=b"x" * 100)

        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="camq"'), path
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_description_needs_no_token(nobody: TestClient) -> None:
    """It is the same for everybody, and nothing on its page comes from elsewhere."""
    document, page = nobody.get("/v1/openapi.json"), nobody.get("/v1/docs")

    assert (document.status_code, page.status_code) == (200, 200)
    assert all(f"{path}</code>" in page.text for path in document.json()["paths"])
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_does_what_its_scope_covers(scope: str, services: Services) -> None:
    """Each scope includes those before it; 403 names both."""
    with api(services, scope) as client:
        for path, method, needed in ROUTES:
            answer = client.request(method, filled(path))

            if SCOPES.index(scope) >= SCOPES.index(needed):
                assert answer.status_code not in (401, 403, 500), path
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
                assert needed in answer.json()["detail"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer x", "Bearer camq_", "Bearer camq_00_x", "Basic {}", "Bearer {}x", "{}"]
)
def test_another_text_opens_nothing(header: str, services: Services, nobody: TestClient) -> None:
    """Nor does a token with anything added."""
    _, text = services.tokens.create("manage", None, 60)

    assert nobody.get("/v1/jobs", headers={"Authorization": header.format(text)}).status_code == 401
    assert nobody.get("/v1/jobs", headers={"Authorization": f"bearer {text}"}).status_code == 200


def test_a_revoked_token_opens_nothing(services: Services, nobody: TestClient) -> None:
    """From the next request on."""
    made, text = services.tokens.create("read", "shop", 60)
    headers = {"Authorization": f"Bearer {text}"}
    assert nobody.get("/v1/jobs", headers=headers).status_code == 200

    assert services.tokens.revoke(made.id)
    assert nobody.get("/v1/jobs", headers=headers).status_code == 401
    assert not services.tokens.revoke(made.id)
    assert services.tokens.valid() == []


def test_redis_has_no_token_only_its_hash(services: Services) -> None:
    """And forgets it when it expires."""
    made, text = services.tokens.create("read", "shop", 60)
    client = services.ledger.scripts.client
    stored = client.get(keys.TOKEN % made.id)

    assert text.rpartition("_")[2] not in stored
    assert 0 < client.ttl(keys.TOKEN % made.id) <= 60
    assert client.ttl(keys.TOKENS) > 0
    assert [one.name for one in services.tokens.valid()] == ["shop"]


def test_a_record_that_camq_did_not_write_opens_nothing(services: Services, nobody: TestClient) -> None:
    """And hides no other token from the list."""
    services.tokens.create("read", "good", 60)
    services.ledger.scripts.client.set(keys.TOKEN % "abcd", "garbage", ex=60)
    services.ledger.scripts.client.zadd(keys.TOKENS, {"abcd": 1})

    assert nobody.get("/v1/jobs", headers={"Authorization": "Bearer camq_abcd_x"}).status_code == 401
    assert [one.name for one in services.tokens.valid()] == ["good"]


def test_a_token_has_so_many_requests_in_a_minute(services: Services) -> None:
    """The others keep theirs."""
    services.settings = msgspec.structs.replace(services.settings, serve_requests_per_minute=3)
    with api(services, "read") as client:
        _, other = services.tokens.create("read", None, 60)
        codes = [client.get("/v1/jobs").status_code for _ in range(5)]
        last = client.get("/v1/jobs")

        assert codes == [200, 200, 200, 429, 429]
        assert last.json()["code"] == "rate"
        assert 0 <= int(last.headers["ratelimit-reset"]) <= 60
        assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {other}"}).status_code == 200
        assert client.get("/v1/openapi.json").status_code == 200


def test_a_page_of_another_origin_may_call_only_when_it_is_allowed(services: Services) -> None:
    """CORS is off by default."""
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    with api(services, None) as client:
        assert client.options("/v1/jobs", headers=asks).status_code == 401
    services.settings = msgspec.structs.replace(services.settings, serve_origins="https://shop.example")
    with api(services, "read") as client:
        allowed = client.options("/v1/jobs", headers={**asks, "Authorization": ""})
        got = client.get("/v1/jobs", headers={"Origin": "https://shop.example"})
        other = client.get("/v1/jobs", headers={"Origin": "https://evil.example"})

    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert got.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in other.headers


def test_the_hosts_are_those_of_the_live_page(services: Services) -> None:
    """A name that was bound to our address anew is refused; a proxy's is allowed by a setting."""
    with api(services) as client:
        answer = client.get("/v1/jobs", headers={"Host": "camq.example"})
        assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")
        assert answer.json()["code"] == "wrong_host"
    services.settings = msgspec.structs.replace(services.settings, serve_hosts="camq.example")
    with api(services) as client:
        assert client.get("/v1/jobs", headers={"Host": "camq.example"}).status_code == 200


def test_a_token_of_the_api_does_not_open_the_page(services: Services) -> None:
    """Nor the page's own link the API."""
    with api(services) as client:
        assert client.get("/").status_code == 401
        assert client.get("/jobs/x").status_code == 401


def test_what_does_not_exist_is_said_in_the_apis_words(services: Services) -> None:
    """Neither the framework's, nor a pattern."""
    with api(services) as client:
        answers = [client.get("/v1/nope"), client.put("/v1/jobs"), client.get("/v1/jobs/a b")]

    assert [answer.status_code for answer in answers] == [404, 405, 400]
    assert [answer.json()["detail"] for answer in answers] == [
        "the API does not have GET /v1/nope; /v1/docs lists what it has",
        "the API does not have PUT /v1/jobs; /v1/docs lists what it has",
        "invalid job: expected a job's id: up to 64 letters, digits, '-' and '_', a letter or digit first",
    ]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


def test_a_mistyped_field_of_a_file_has_its_hint(services: Services, worker: ScriptedWorker) -> None:
    """It is not taken for text."""
    with api(services) as client:
        answer = client.post("/v1/explain", files={"pcture": ("a.png", picture())})

    assert answer.json()["detail"].startswith("unknown field 'pcture' (did you mean picture?); fields: picture, source")


def test_a_request_above_its_limit_is_refused_while_it_arrives(services: Services, worker: ScriptedWorker) -> None:
    """Before its body is read, or as soon as it is too long."""
    with api(services) as client:
        long = client.post("/v1/jobs", content=b"[" * 10_000_001)
        upload = client.post(
            "/v1/uploads", headers={"Content-Length": "1000000001", "Content-Type": "multipart/form-data; boundary=x"}
        )
        chunks = client.post(
            "/v1/uploads", content=iter([b"x"]), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )

    assert [answer.status_code for answer in (long, upload, chunks)] == [413, 413, 413]
    assert {answer.json()["code"] for answer in (long, upload, chunks)} == {"too_large"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"top_k": "many"}, "invalid top_k: expected a whole number, found 'many'"),
        ({"top_k": "0"}, "invalid top_k: expected a whole number, at least 1"),
        ({"topk": "1"}, "unknown field 'topk' (did you mean top_k?); fields: pictures, manifest"),
        ({"method": "camm"}, "invalid method 'camm': expected one of ablationcam, cam"),
        ({"heatmaps": "perhaps"}, "invalid heatmaps 'perhaps': expected one of true, false, full"),
        ({"classes": "dog"}, "no class 'dog'"),
        ({"colormap": "jett"}, "did you mean jet"),
        ({"nothing": "1"}, "unknown field 'nothing'; fields: "),
        ({"model": "other"}, "no model 'other': known: tiny@0123456789ab; ask the operator to serve it"),
        ({"output": "s3://any/where"}, "CAMQ_OUTPUT_PREFIXES"),
        ({"webhook": "http://169.254.169.254/"}, "CAMQ_WEBHOOK_HOSTS"),
        ({"tags": "a,b"}, "invalid tag"),
        ({"name": "x" * 201}, "invalid name: expected at most 200 characters"),
        ({"pictures": "no file"}, "expected a file"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, str], says: str, services: Services, worker: ScriptedWorker) -> None:
    """Nothing is submitted."""
    with api(services) as client:
        answer = client.post("/v1/uploads", files={"pictures": ("a.png", picture())}, data=fields)

    assert (answer.status_code, answer.json()["code"]) == (400, "usage"), answer.text
    assert says in answer.json()["detail"]
    assert services.ledger.jobs(10) == []


IN_STORAGE = {"images": ["s3://a/b"]}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"images": []}, "invalid images: expected at least 1 item"),
        ({"images": 5}, "invalid images: expected a list, found a whole number"),
        ({"image": ["s3://a/b"]}, "unknown field 'image' (did you mean images?); fields: images, model"),
        ({}, "invalid request: the field 'images' is missing"),
        ([1], "invalid request: expected an object, found a list"),
        (
            {"images": [{"sourc": "s3://a/b"}]},
            "unknown field 'sourc' in images[0] (did you mean source?)",
        ),
        (IN_STORAGE | {"options": {"topk": 1}}, "unknown field 'topk' in options (did you mean top_k?)"),
        (
            {"images": ["s3://a/b"], "options": {"top_k": "x"}},
            "invalid options.top_k: expected a whole number",
        ),
        (
            {"images": ["s3://a/b"], "options": {"method": "camm"}},
            "invalid options.method 'camm': expected one of",
        ),
    ],
)
def test_a_wrong_place_in_json_is_named(body: object, says: str, services: Services) -> None:
    """In words of the API: neither a library's, nor the command's."""
    with api(services) as client:
        answer = client.post("/v1/jobs", json=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "usage")
    assert says in answer.json()["detail"]
    assert "`" not in answer.json()["detail"]


def test_a_key_used_again_is_called_by_its_header(services: Services, worker: ScriptedWorker) -> None:
    """The command's `--job-id` is nothing that a client of the API knows."""
    files = {"pictures": ("a.png", picture())}
    with api(services, **{"Idempotency-Key": "mine"}) as client:
        client.post("/v1/uploads", files=files)
        options = client.post("/v1/uploads", files=files, data={"top_k": "2"})
        pictures = client.post("/v1/uploads", files={"pictures": ("a.png", picture((9, 9)))})

    for answer in (options, pictures):
        assert answer.status_code == 409
        assert answer.json()["detail"].endswith("another Idempotency-Key")


def test_a_redis_that_is_away_is_503(services: Services, nobody: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time after which to ask again; nobody is let in meanwhile."""
    from shared.errors import UnreachableError

    def away(_: str) -> None:
        raise UnreachableError("Redis at x does not answer")

    monkeypatch.setattr(services.tokens, "opened_by", away)
    answer = nobody.get("/v1/jobs", headers={"Authorization": "Bearer camq_1_x"})

    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unreachable", "5")
