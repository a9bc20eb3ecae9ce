"""The short way to an object: when it is taken, what it signs, and what becomes of everything unusual."""

import base64
import hashlib
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from minio import Minio
from minio.credentials import Credentials
from minio.signer import sign_v4_s3

from shared.config import Settings
from shared.errors import UnreachableError
from shared.storage import S3Store, pool
from shared.storage.signature import Signer


def test_a_signature_is_that_of_the_client() -> None:
    """To the letter, on whatever day; the client is the reference."""
    sign = Signer("key", "secret", "eu-west-1")
    for method, path in (("PUT", "/camq/a%20b/c.jpg"), ("HEAD", "/camq/k"), ("GET", "/camq/~")):
        headers = {"host": "127.0.0.1:9000", "x-amz-content-sha256": hashlib.sha256(b"x").hexdigest()}
        if method == "PUT":
            headers["content-type"] = "image/jpeg"
        sign(method, path, headers)
        ours = headers.pop("authorization")
        theirs = sign_v4_s3(
            method=method,
            url=urlsplit(f"http://127.0.0.1:9000{path}"),
            region="eu-west-1",
            headers=headers,
            credentials=Credentials("key", "secret"),
            content_sha256=headers["x-amz-content-sha256"],
            date=datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        )
        assert ours == theirs["Authorization"]


def test_the_key_of_a_day_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission goes on over midnight."""
    sign = Signer("key", "secret", "eu-west-1")
    signed = []
    for signer, day in ((sign, "20260101"), (sign, "20260102"), (Signer("key", "secret", "eu-west-1"), "20260102")):
        monkeypatch.setattr("time.strftime", lambda *_, day=day: f"{day}T000000Z")
        headers = {"host": "h", "x-amz-content-sha256": "-"}
        signer("GET", "/", headers)
        signed.append(headers["authorization"])
    assert signed[1] == signed[2] != signed[0]


@pytest.mark.servers
def test_the_usual_requests_do_without_the_client(s3_store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real server: what is there, what is not, odd characters and nothing at all."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the long way")

    for name in ("put_object", "get_object", "stat_object"):
        monkeypatch.setattr(Minio, name, refuse)
    for key, data in (("a/b", b"bytes"), ("Ü ?#%&+~*'\"<(猫)>.png", bytes(3_000_000)), ("empty", b"")):
        s3_store.put(key, data, "image/png")
        assert s3_store.get(key) == s3_store.get(key, max_bytes=len(data)) == data
        stat = s3_store.stat(key)
        assert stat is not None
        assert stat.size == len(data)
        assert abs((datetime.now(UTC) - stat.modified).total_seconds()) < 60
    assert s3_store.stat("no/such") is None


def test_a_connection_serves_many_requests() -> None:
    """Also after a HEAD, and after an answer of 404."""
    with a_server() as server:
        store = store_at(server.port)
        for number in range(5):
            store.put(f"{number}", b"data")
            assert store.get(f"{number}") == b"body"
            assert store.stat("missing") is None

    assert server.connections == 1
    assert len(server.heard) == 15


def test_a_connection_that_went_stale_is_no_failure() -> None:
    """A server that restarted, or had enough of an idle connection: the request is made once more."""
    with a_server(hangs_up=True) as server:
        store = store_at(server.port)
        assert [store.get("key") for _ in range(3)] == [b"body"] * 3


def test_a_server_that_says_nothing_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited for half a minute knows; the long way would wait as long twice more."""
    monkeypatch.setattr(pool, "READ_S", 0.2)
    with a_server(silent=True) as server:
        store = store_at(server.port)
        for ask in (lambda: store.get("a"), lambda: store.put("a", b""), lambda: store.stat("a")):
            with pytest.raises(UnreachableError, match="timed out"):
                ask()
        assert server.connections == 3


def test_without_credentials_nothing_is_signed() -> None:
    """A server that lets everybody in need not know the client's names."""
    with a_server() as server:
        store_at(server.port, s3_access_key="", s3_secret_key="").put("key", b"data")

    assert "authorization" not in server.heard[0]


def test_over_plain_http_the_bytes_are_vouched_for_by_the_signature() -> None:
    """So a byte that changed on its way is noticed."""
    with a_server() as server:
        store_at(server.port).put("key", b"data")

    assert server.heard[0]["x-amz-content-sha256"] == hashlib.sha256(b"data").hexdigest()


def test_over_tls_they_are_by_their_md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the client does it; servers with object lock insist. The connection is one to whom we trust."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with a_server(tls=tls) as server:
        with pytest.raises(UnreachableError, match="certificate"):
            store_at(server.port, s3_secure=True).put("key", b"data")
        assert server.heard == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

        store_at(server.port, s3_secure=True).put("key", b"data")

    (headers,) = server.heard
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert headers["content-md5"] == base64.b64encode(hashlib.md5(b"data").digest()).decode()
    assert "content-md5;" in headers["authorization"]


def store_at(port: int, **settings: Any) -> S3Store:
    keys = {"s3_access_key": "key", "s3_secret_key": "secret"}
    return S3Store.from_settings(Settings(s3_endpoint=f"127.0.0.1:{port}", **keys | settings))


class AServer(ThreadingHTTPServer):
    """Answers 200, and 404 to a HEAD; counts connections and keeps each request's headers."""

    daemon_threads = True

    def __init__(self, *, hangs_up: bool, silent: bool, tls: ssl.SSLContext | None) -> None:
        self.connections = 0
        self.heard: list[Mapping[str, str]] = []
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def do_GET(self) -> None:
                server.heard.append({name.lower(): value for name, value in self.headers.items()})
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if silent:
                    server.over.wait()
                missing = self.command == "HEAD"
                body = b"" if missing else b"body"
                self.send_response(404 if missing else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = hangs_up  # without a word about it

            do_PUT = do_HEAD = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of these tests."""


@contextmanager
def a_server(*, hangs_up: bool = False, silent: bool = False, tls: ssl.SSLContext | None = None) -> Iterator[AServer]:
    with AServer(hangs_up=hangs_up, silent=silent, tls=tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
