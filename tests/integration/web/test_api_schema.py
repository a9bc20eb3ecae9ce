"""Requests that are made from the API's own description: what it says holds, and nothing makes it fail."""

from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks

from producer.services import Services
from producer.web.http.asgi import build_both
from producer.web.live.guard import Door
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import pictures, send
from tests.support.servers.api import HOST, ROUTES, api

JOB = "finished"
OF_A_JOB = [(path, method) for path, method, _ in ROUTES if "{job}" in path and method != "DELETE"]
FORMS = ("/v1/uploads", "/v1/explain")
#: Nothing of these can be broken.
PLAIN = ("/v1/models", "/v1/workers")
#: Broken forms are made below: Schemathesis cannot break a file.
CASES = [(path, method, mode) for path, method, _ in ROUTES for mode in GenerationMode]
CASES = [case for case in CASES if case[2] is GenerationMode.POSITIVE or case[0] not in (*FORMS, *PLAIN)]
load_all_checks()
#: The description cannot say which of the valid requests this server takes: which models and addresses there are.
LEFT_OUT = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")]
FEW = settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def described(services: Services, worker: ScriptedWorker) -> Any:
    """The description, and behind it a server with a finished job."""
    services.settings = msgspec.structs.replace(services.settings, serve_wait_s=0.05, serve_requests_per_minute=10**6)
    send(services, pictures(3), job_id=JOB)
    worker.work_off(JOB)
    app = build_both(services, Door("127.0.0.1", 8000))
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app, headers={"Host": HOST})
    del schema.raw_schema["security"]  # each request has a token; what happens without is another test's matter
    return schema


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_the_api_answers_as_it_is_described(
    path: str, method: str, mode: GenerationMode, described: Any, services: Services
) -> None:
    """Valid requests and broken ones: never a server error, always a described status, type and body."""
    ask(described[path][method], mode, services)


@pytest.mark.parametrize(("path", "method"), OF_A_JOB)
def test_what_is_said_of_a_job_is_as_it_is_described(
    path: str, method: str, described: Any, services: Services
) -> None:
    """Of a job that is there."""
    ask(described[path][method], GenerationMode.POSITIVE, services, job=JOB)


def ask(operation: Any, mode: GenerationMode, services: Services, **where: str) -> None:
    """A few requests, with everything checked that the description promises."""
    _, text = services.tokens.create("manage", None, 3600)
    headers = {"Authorization": f"Bearer {text}", "Host": HOST}

    @FEW
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Any) -> None:
        case.path_parameters.update(where)
        case.call_and_validate(headers=headers, excluded_checks=LEFT_OUT)

    attempt()


NAMES = st.sampled_from(["pictures", "picture", "manifest", "source", "top_k", "classes", "tags", "name", "model", "x"])
HEADS = st.sampled_from(
    [
        'Content-Disposition: form-data; name="{name}"',
        'Content-Disposition: form-data; name="{name}"; filename="a.png"',
        'Content-Disposition: form-data; name="{name}"; filename=""\r\nContent-Type: text/plain; charset=nonsense',
        "Content-Disposition: form-data; name=\"{name}\"; filename*=utf-8''%ff%00",
        "Content-Disposition: form-data",
        "no header",
        "",
    ]
)
PART = st.tuples(HEADS, NAMES, st.binary(max_size=40) | st.sampled_from([picture(), b"source,id\na.png,1\n", b"0"]))
TYPES = st.sampled_from(["multipart/form-data; boundary=x"] * 5 + ["multipart/form-data", "text/plain", ""])


@pytest.mark.parametrize("path", FORMS)
def test_no_form_makes_it_fail(path: str, services: Services, worker: ScriptedWorker) -> None:
    """Whatever its parts, its end and its type: it is taken, or refused with what is wrong."""
    services.settings = msgspec.structs.replace(services.settings, serve_wait_s=0.01, serve_requests_per_minute=10**6)
    with api(services) as client:

        @settings(FEW, max_examples=60)
        @given(parts=st.lists(PART, max_size=4), kind=TYPES, end=st.sampled_from([b"--x--\r\n", b"", b"--x"]))
        def attempt(parts: list[tuple[str, str, bytes]], kind: str, end: bytes) -> None:
            body = b"".join(
                f"--x\r\n{head.format(name=name)}\r\n\r\n".encode() + data + b"\r\n" for head, name, data in parts
            )
            answer = client.post(path, content=body + end, headers={"Content-Type": kind})

            assert answer.status_code in (200, 201, 202, 400, 413, 415, 422), answer.text
            assert answer.status_code < 400 or answer.json()["code"], answer.text

        attempt()
