"""Who gets into the live page, and with which headers every answer leaves it."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from producer.web.live.guard import Door, Guard

DOOR = Door("127.0.0.1", 8800, "s3cret")
HOME = "127.0.0.1:8800"
COOKIE = {"cookie": "camq-8800=s3cret"}
ORIGIN = {"origin": f"http://{HOME}"}


def ask(path: str = "/", *, method: str = "GET", door: Door = DOOR, **headers: str) -> Response:
    """What a request gets through the guard; the page behind it says so."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(f"the secret page {Request(scope).state.nonce}")(scope, receive, send)

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in ({"host": HOME} | headers).items()],
    }
    asyncio.run(Guard(page, door)(scope, receive, send))
    answer = Response(sent[1]["body"], sent[0]["status"])
    answer.raw_headers = sent[0]["headers"]
    return answer


def test_the_link_lets_in_and_leaves_the_address_bar() -> None:
    """Its token becomes a cookie that no script reads and no other site sends."""
    answer = ask("/?token=s3cret")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"] == "camq-8800=s3cret; HttpOnly; Path=/; SameSite=strict"


@pytest.mark.parametrize(
    ("path", "lands"),
    [
        ("/jobs/a-job", "/jobs/a-job"),
        ("/jobs/a b\u00e9\r\nX: 1", "/jobs/a%20b%C3%A9%0D%0AX%3A%201"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
    ],
)
def test_a_link_to_a_page_lands_there_and_on_no_other_host(path: str, lands: str) -> None:
    """So that a link to a job can be handed on with the way in."""
    answer = ask(f"{path}?token=s3cret")

    assert (answer.status_code, answer.headers["location"]) == (303, lands)


@pytest.mark.parametrize("cookie", ["", "camq-8800=", "camq-8800=s3cre", "camq-8800=s3crett", "camq-1=s3cret", "é"])
def test_without_the_cookie_nothing_is_shown(cookie: str) -> None:
    """A page says how to get in, and nothing else."""
    answer = ask("/jobs/x", cookie=cookie)

    assert answer.status_code == 401
    assert b"the secret page" not in answer.body
    assert b"camq ui" in answer.body


def test_a_wrong_token_lets_nobody_in() -> None:
    """Nor does it say how wrong it was."""
    assert ask("/?token=s3cre").status_code == 401
    assert ask("/?token=").status_code == 401


def test_the_cookie_opens_the_page() -> None:
    """Its nonce differs each time."""
    first, second = ask(**COOKIE), ask(**COOKIE)

    assert first.status_code == 200
    assert first.body != second.body


@pytest.mark.parametrize(
    "host", ["evil.example:8800", "127.0.0.1", "127.0.0.1:80", "192.168.0.7:8800", "", "localhost"]
)
def test_another_host_is_refused_even_with_the_cookie(host: str) -> None:
    """A name that was bound anew to our address still tells its own name."""
    assert ask(**COOKIE | {"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8800", "localhost:8800", "LOCALHOST:8800", "[::1]:8800"])
def test_loopback_has_several_names(host: str) -> None:
    """All of them mean this machine."""
    assert ask(**COOKIE | {"host": host}).status_code == 200


def test_a_page_for_every_interface_takes_addresses_but_no_foreign_names() -> None:
    """No name server has a part in a literal address."""
    door = Door("0.0.0.0", 8800, "s3cret")

    assert door.knows("192.168.0.7:8800")
    assert door.knows("[fe80::1]:8800")
    assert not door.knows("evil.example:8800")
    assert not door.knows("192.168.0.7:80")
    assert door.link == "http://127.0.0.1:8800/?token=s3cret"


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1:8800", "http://127.0.0.1:1"]
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_only_the_page_itself_may_change_anything(method: str, origin: str | None) -> None:
    """The cookie alone is not enough, nor is the token."""
    headers = COOKIE if origin is None else COOKIE | {"origin": origin}

    assert ask(method=method, **headers).status_code == 403
    assert ask("/?token=s3cret", method=method, **headers).status_code == 403


def test_the_page_itself_may_change_something() -> None:
    """With its cookie and from its own address."""
    assert ask(method="POST", **COOKIE | ORIGIN).status_code == 200
    assert ask(method="POST", **ORIGIN).status_code == 401


@pytest.mark.parametrize("headers", [COOKIE, {}, {"host": "evil.example"}], ids=["inside", "locked", "refused"])
def test_every_answer_carries_the_headers(headers: dict[str, str]) -> None:
    """Also a refusal: nothing is sniffed, framed, stored or run that was not ours."""
    answer = ask(**headers).headers

    assert answer["x-content-type-options"] == "nosniff"
    assert answer["referrer-policy"] == "no-referrer"
    assert answer["cache-control"] == "no-store"
    assert "default-src 'none'; script-src 'nonce-" in answer["content-security-policy"]
    assert "frame-ancestors 'none'" in answer["content-security-policy"]
    assert "unsafe" not in answer["content-security-policy"]


def test_the_secret_is_not_in_what_is_printed_of_a_door() -> None:
    """A log of it gives nothing away."""
    assert "s3cret" not in repr(DOOR)
    assert len(Door("127.0.0.1", 1).token) >= 32
