"""Pictures behind URLs, from a server on this machine: what is fetched, from where, and what a message says."""

import base64
import io
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from PIL import Image

from producer.inputs.expand import Expansion
from producer.inputs.manifest import Manifest
from producer.inputs.notes import Notes, Row
from producer.inputs.source import Source
from producer.inputs.urls import fetch as urls
from producer.inputs.urls.fetch import fetch, picture_at
from producer.submission.preview import preview
from producer.submission.request import Request
from shared.errors import ImageError
from shared.storage import MemoryStore
from shared.storage.timed import Attempt
from tests.support.jobs.scripted_worker import picture
from tests.support.servers.answering import answering
from tests.support.servers.url_server import Server, answer, drip
from tests.support.waiting import wait_until

LIMIT = 1_000_000


@pytest.fixture
def server() -> Iterator[Server]:
    with answering(Server()) as running:
        running.answers["/a.png"] = answer(body=picture())
        yield running
        running.over.set()


def test_a_proxy_of_the_environment_is_named_where_it_is_not_used(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    """Only where no connection could be made: the proxy would decide which address is read from."""
    monkeypatch.setenv("https_proxy", "http://secret@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", server.url)
    for scheme in ("http", "https"):
        message = failure(f"{scheme}://nowhere.invalid/a.png").message
        assert "the proxy of this environment (HTTPS_PROXY) is not used: fetch the picture first" in message
    assert server.heard == []
    assert "proxy" not in failure(f"{server.url}/a.png", limit=3).message


def failure(address: str, *, limit: int = LIMIT, private: bool = True) -> ImageError:
    with pytest.raises(ImageError) as caught:
        fetch(address, limit, private=private)
    assert "secret" not in caught.value.message
    return caught.value


def expand(given: object) -> list[Source]:
    return list(Expansion(given, store=MemoryStore))


def test_a_url_is_its_picture(server: Server) -> None:
    """On the command line, in a list and in a table; the server is told what its name does not tell."""
    address = f"{server.url.replace('//', '//me:se%63ret@')}/a.png?token=secret#part"
    for given in (address, [address], [Row(address, Notes("7"))]):
        (source,) = expand(given)
        assert source.read(LIMIT) == picture()
        assert source.name == f"{server.url}/a.png"
        assert "secret" not in repr(source)

    basic = "Basic " + base64.b64encode(b"me:secret").decode()
    assert server.heard == [("/a.png?token=secret", basic)] * 3


def test_redirects_are_followed_a_few_times(server: Server) -> None:
    """Relative ones too. A password goes to its own server alone."""
    with answering(Server()) as other:
        other.answers["/b.png"] = answer(body=picture())
        server.answers["/1"] = answer(302, Location="2?x=1")
        server.answers["/2"] = answer(307, Location=f"{other.url}/b.png")
        for number in range(7):
            server.answers[f"/loop{number}"] = answer(301, Location=f"/loop{number + 1}")

        assert fetch(f"{server.url.replace('//', '//me:pw@')}/1", LIMIT, private=True) == picture()
        assert [credentials is None for _, credentials in server.heard + other.heard] == [False, False, True]
        caught = failure(f"{server.url}/loop0?key=secret")
        assert (caught.code, caught.message) == (
            "unavailable", f"cannot fetch {server.url}/loop0: it redirects more than 5 times",
        )  # fmt: skip
        assert len(server.heard) == 2 + 6


@pytest.mark.parametrize(
    ("location", "code", "says"),
    [
        (
            "http://169.254.169.254/latest/meta-data?x=secret",
            "denied",
            "169.254.169.254 is a link-local or metadata address",
        ),
        ("http://[::ffff:169.254.169.254]/", "denied", "link-local or metadata"),
        ("http://0/", "denied", "not the address of a server"),
        ("file:///etc/passwd", "unavailable", "redirects to an address that is not http:// or https://"),
    ],
)
def test_a_redirect_is_looked_at_like_the_first_address(location: str, code: str, says: str, server: Server) -> None:
    """Also from the command line, metadata and other schemes are out of reach."""
    server.answers["/away"] = answer(302, Location=location)

    caught = failure(f"{server.url}/away?token=secret")

    assert caught.code == code
    assert says in caught.message
    assert caught.message.startswith(f"cannot fetch {server.url}/away: ")


def test_a_private_network_is_for_the_command_line_alone(server: Server) -> None:
    """A request over HTTP reaches none, by whatever name; nothing is sent there."""
    for host in ("127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"):
        caught = failure(f"http://{host}:{server.server_port}/a.png", private=False)
        assert caught.code == "denied"
        assert "an address of a private network" in caught.message
        assert f"{host} leads to 127.0.0.1, " in caught.message or "127.0.0.1 is an" in caught.message or "[" in host

    assert server.heard == []
    with pytest.raises(ImageError, match="private network"):
        picture_at(f"{server.url}/a.png", private=False).read(LIMIT)


def test_the_address_that_is_connected_to_is_the_one_looked_at(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads to several is asked once; of its addresses only those that may be read from are used."""
    asked: list[str] = []
    plain = socket.getaddrinfo

    def resolve(host: str, port: int, *given: Any, **named: Any) -> list[Any]:
        asked.append(host)
        if len(asked) > 1:  # the second answer of a name that changes
            return plain("127.0.0.1", port, *given, **named)
        return plain("169.254.169.254", port, *given, **named) + plain("127.0.0.1", port, *given, **named)

    monkeypatch.setattr("producer.inputs.urls.guarded.socket.getaddrinfo", resolve)

    assert fetch(f"http://two.example:{server.server_port}/a.png", LIMIT, private=True) == picture()
    assert asked[0] == "two.example"
    assert set(asked[1:]) <= {"127.0.0.1"}  # what connects resolves the number again, and nothing else


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (404, "not_found", "the server answers 404 Not Found"),
        (403, "denied", "the server answers 403 Forbidden"),
        (302, "unavailable", "the server answers 302 Found"),
        (418, "unavailable", "the server answers 418"),
        (299, "unavailable", "the server answers 299"),
    ],
)
def test_an_answer_without_a_picture_fails_with_its_number(status: int, code: str, says: str, server: Server) -> None:
    """Under the code that says who must act."""
    server.answers["/x"] = answer(status)

    caught = failure(f"{server.url}/x?token=secret")

    assert caught.code == code
    assert says in caught.message


def test_a_server_that_is_busy_is_asked_again(server: Server) -> None:
    """A picture of a million is not lost to one 503."""
    answers = [answer(body=picture()), answer(503)]

    def busy(to: BaseHTTPRequestHandler) -> None:
        answers.pop()(to)

    server.answers["/busy"] = busy

    assert fetch(f"{server.url}/busy", LIMIT, private=True) == picture()


def test_a_file_above_the_limit_is_not_read(server: Server) -> None:
    """By the length that is announced, and by what comes."""

    def endless(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        with suppress(OSError):
            while not server.over.is_set():
                to.wfile.write(bytes(100_000))

    server.answers["/long"] = answer(**{"Content-Length": "5000000000"})
    server.answers["/endless"] = endless
    server.answers["/none"] = answer()

    for path in ("/long", "/endless"):
        caught = failure(server.url + path)
        assert (caught.code, "is larger than 1000000 bytes" in caught.message) == ("too_large", True)
    assert failure(f"{server.url}/none").code == "empty"


def test_a_name_of_many_addresses_where_nothing_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has its own time to connect, but all of them together no more than the picture has."""
    monkeypatch.setattr(urls, "TOTAL_S", 0.05)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (f"93.184.215.{last}", 80)) for last in range(1, 101)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    tried: list[object] = []

    def silent(place: object, *_: object, **__: object) -> None:
        tried.append(place)
        wait_until(Attempt.has_ended, "the time for the picture is over")
        raise TimeoutError

    monkeypatch.setattr("producer.inputs.urls.guarded.create_connection", silent)

    assert failure("http://many.example/a.png").message.endswith("no complete answer within 0.05 s")
    assert len(tried) == 1


def test_a_server_that_drips_is_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not prolong it."""
    monkeypatch.setattr(urls, "TOTAL_S", 0.5)
    server.answers["/slow"] = drip
    began = time.monotonic()

    caught = failure(f"{server.url}/slow?token=secret")

    assert (caught.code, caught.message) == (
        "unavailable", f"cannot fetch {server.url}/slow: no complete answer within 0.5 s",
    )  # fmt: skip
    assert time.monotonic() - began < 30


def test_a_server_that_is_not_there_says_so() -> None:
    """In one sentence, without what was asked of it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        caught = failure(f"http://127.0.0.1:{port}/a.png?token=secret")

    assert caught.code == "unavailable"
    assert caught.message.startswith(f"cannot fetch http://127.0.0.1:{port}/a.png: ")
    assert "Connection refused" in caught.message
    assert "no address" in failure("http://nowhere.invalid/a.png").message


@pytest.mark.parametrize(
    "address", ["http://", "https://a b/c", "http://[x/", "http://x:99999999/", "http://x/" + "a" * 9000]
)
def test_what_is_no_url_fails_alone(address: str) -> None:
    """With what was expected."""
    broken, good = expand([address, picture()])

    with pytest.raises(ImageError) as caught:
        broken.read(LIMIT)

    assert caught.value.code == "unavailable"
    assert "expected http:// or https://" in caught.value.message
    assert good.read(LIMIT) == picture()


def test_a_dry_run_fetches_nothing(server: Server) -> None:
    """It counts the picture; its size is known when it is fetched."""
    address = f"{server.url}/a.png"
    found = preview([(address, [address])], Request(), store=MemoryStore, limit=LIMIT, notice=print)

    assert (found.images, found.failing, server.heard) == (1, 0, [])


def test_a_cell_of_a_table_may_hold_the_picture(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In base64, also a long one; a name that looks like it is a name."""
    monkeypatch.chdir(tmp_path)
    name = "a" * 80
    (tmp_path / name).write_bytes(picture())
    noise = io.BytesIO()
    Image.effect_noise((400, 400), 90).save(noise, "png")
    cells = [base64.b64encode(picture()).decode(), base64.b64encode(noise.getvalue()).decode().rstrip("="), name]
    assert len(cells[1]) > 131_072  # the csv module's own limit
    table = "image,label\n" + "".join(f"{cell},x\n" for cell in cells)
    manifest = Manifest("list", lambda: io.BytesIO(table.encode()))
    manifest.check()

    first, second, third = expand(manifest)

    assert [source.read(LIMIT) for source in (first, second, third)] == [picture(), noise.getvalue(), picture()]
    assert (first.name, third.name) == (f"base64,{cells[0][:32]}…", name)
    assert first.notes.fields == {"label": "x"}
