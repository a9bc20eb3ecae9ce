"""Whose credentials sign, for which server: temporary keys, AWS' own ways, a second account for inputs, links."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from shared.config import Settings, secrets
from shared.errors import CredentialsError, DeniedError, UsageError
from shared.storage import S3Store
from tests.support.servers.answering import answering

XML = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class Seen:
    """A server that remembers the requests it got, and refuses those that `refused` says."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.refused = frozenset[str]()
        self.port = 0

    @property
    def last(self) -> dict[str, str]:
        return self.requests[-1][2]


@contextmanager
def serving() -> Iterator[Seen]:
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            seen.requests.append((self.command, path, {k.lower(): v for k, v in self.headers.items()}))
            refused = f"{self.command} {path}" in seen.refused
            written = b"{}" if path.endswith("check.json") else b"12345"
            body = XML.encode() if refused else written
            self.send_response(403 if refused else 200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("ETag", '"etag"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_PUT = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        seen.port = server.server_port
        yield seen


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Seen]:
    """A server, and surroundings without anything of AWS'."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("WEB_IDENTITY_TOKEN_FILE", "ROLE_ARN", "ROLE_SESSION_NAME", "ENDPOINT_URL_STS"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with serving() as found:
        yield found


def store_at(seen: Seen, **settings: str) -> S3Store:
    return S3Store.from_settings(
        msgspec.convert({"s3_endpoint": f"127.0.0.1:{seen.port}"} | settings, Settings, strict=False)
    )


def test_a_session_token_signs_with_its_pair(seen: Seen) -> None:
    """As `aws sts` gives it; it is a secret."""
    keys = {"s3_access_key": "AK", "s3_secret_key": "SK", "s3_session_token": "the-token"}
    store_at(seen, **keys).get("a")

    assert seen.last["x-amz-security-token"] == "the-token"
    assert "Credential=AK/" in seen.last["authorization"]
    assert "the-token" in secrets(msgspec.convert(keys, Settings))
    assert "the-token" not in repr(msgspec.convert(keys, Settings))


def test_aws_variables_sign_where_camq_has_no_key(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their region; a key of camq's own goes before them."""
    for name, value in {
        "ACCESS_KEY_ID": "ENV",
        "SECRET_ACCESS_KEY": "s",
        "SESSION_TOKEN": "t",
        "REGION": "eu-west-3",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)

    store_at(seen).get("a")
    assert "Credential=ENV/" in seen.last["authorization"]
    assert "/eu-west-3/s3/" in seen.last["authorization"]
    assert seen.last["x-amz-security-token"] == "t"

    store_at(seen, s3_access_key="OWN", s3_secret_key="s").get("a")
    assert "Credential=OWN/" in seen.last["authorization"]
    assert "/us-east-1/s3/" in seen.last["authorization"]
    assert "x-amz-security-token" not in seen.last


def test_aws_file_and_profile_sign(seen: Seen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile that is not in it is named."""
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n"
        "[lab]\naws_access_key_id = LAB\naws_secret_access_key = s\naws_session_token = t\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    store_at(seen).get("a")
    assert "Credential=FILE/" in seen.last["authorization"]

    monkeypatch.setenv("AWS_PROFILE", "lab")
    store_at(seen).get("a")
    assert "Credential=LAB/" in seen.last["authorization"]
    assert seen.last["x-amz-security-token"] == "t"

    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(CredentialsError, match=r"no S3 credentials from .*credentials: .*gone"):
        store_at(seen).get("a")


def test_a_containers_role_signs(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it announces itself; what is announced and does not answer is an error of the credentials."""
    role = b'{"AccessKeyId": "ROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}'

    class Role(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(role)

        def log_message(self, *args: object) -> None:
            pass

    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Role)) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/role")
        store_at(seen).get("a")
    assert "Credential=ROLE/" in seen.last["authorization"]
    assert seen.last["x-amz-security-token"] == "t"

    with pytest.raises(CredentialsError, match="no S3 credentials from AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        store_at(seen).get("a")


def test_a_web_identity_signs_and_is_renewed(seen: Seen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Kubernetes gives a pod its role: the token of its file for keys of an hour. A refusal is told."""
    asked: list[dict[str, list[str]]] = []

    class Tokens(BaseHTTPRequestHandler):
        """AWS' AssumeRoleWithWebIdentity, whose first keys end at once."""

        def do_POST(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query))
            refused = asked[-1]["WebIdentityToken"] == ["forged"]
            ends = "2999-01-01T00:00:00Z" if len(asked) > 1 else "2001-01-01T00:00:00Z"
            self.send_response(403 if refused else 200)
            self.end_headers()
            keys = f"<AccessKeyId>POD{len(asked)}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            keys += f"<SessionToken>t{len(asked)}</SessionToken><Expiration>{ends}</Expiration>"
            result = (
                f"<AssumeRoleWithWebIdentityResult><Credentials>{keys}</Credentials></AssumeRoleWithWebIdentityResult>"
            )
            name = "AssumeRoleWithWebIdentityResponse"
            body = f'<{name} xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{result}</{name}>'
            self.wfile.write(b"<ErrorResponse/>" if refused else body.encode())

        def log_message(self, *args: object) -> None:
            pass

    token = tmp_path / "token"
    token.write_text("projected-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/camq")
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "camq-worker")
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Tokens)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.server_port}")
        store = store_at(seen)
        for pod in ("POD1", "POD2", "POD2"):
            store.get("a")
            assert f"Credential={pod}/" in seen.last["authorization"]
            assert seen.last["x-amz-security-token"] == f"t{pod[-1]}"
        assert [each["WebIdentityToken"] for each in asked] == [["projected-token"]] * 2
        assert asked[0]["RoleArn"] == ["arn:aws:iam::123456789012:role/camq"]
        assert asked[0]["RoleSessionName"] == ["camq-worker"]

        token.write_text("forged")
        with pytest.raises(CredentialsError, match="no S3 credentials from AWS_WEB_IDENTITY_TOKEN_FILE"):
            store_at(seen).get("a")


def test_without_any_credentials_a_public_bucket_is_read(seen: Seen) -> None:
    """Unsigned."""
    assert store_at(seen).get("a") == b"12345"
    assert "authorization" not in seen.last


def test_inputs_elsewhere_have_an_account_of_their_own(seen: Seen) -> None:
    """It reads addresses; our own bucket, and every write, is the first account's."""
    own = {"s3_access_key": "OWN", "s3_secret_key": "s"}
    with serving() as other:
        store = store_at(
            seen,
            **own,
            input_s3_endpoint=f"127.0.0.1:{other.port}",
            input_s3_access_key="READ",
            input_s3_secret_key="s",
            input_s3_region="eu-south-1",
        )
        with closing(store):
            assert store.get("s3://theirs/a.jpg") == store.head("s3://theirs/a.jpg", 5) == b"12345"
            store.stat("s3://theirs/a.jpg")
            assert seen.requests == []
            assert all("Credential=READ/" in headers["authorization"] for _, _, headers in other.requests)
            assert "/eu-south-1/s3/" in other.last["authorization"]
            asked = len(other.requests)
            store.get("inputs/x")
            store.put("s3://theirs/maps/x.jpg", b"1")
            assert [path for _, path, _ in seen.requests] == ["/camq/inputs/x", "/theirs/maps/x.jpg"]
            assert len(other.requests) == asked

            # A job's own output may be where the input account may not read.
            other.refused = frozenset({"GET /theirs/maps/x.jpg", "GET /theirs/secret"})
            seen.refused = frozenset({"GET /theirs/secret"})
            assert store.get("s3://theirs/maps/x.jpg") == b"12345"
            with pytest.raises(DeniedError, match=f"127.0.0.1:{other.port}.*check CAMQ_INPUT_S3_ACCESS_KEY"):
                store.get("s3://theirs/secret")


def test_signed_links_have_the_public_address(seen: Seen) -> None:
    """The host is signed, so that it cannot be replaced afterwards."""
    keys = {"s3_access_key": "AK", "s3_secret_key": "SK"}
    url = urlsplit(store_at(seen, **keys, s3_public_endpoint="https://files.example.org").presigned_get("a/b", 60))
    plain = urlsplit(store_at(seen, **keys, s3_public_endpoint="files.example.org:9000").presigned_get("a/b", 60))

    assert (url.scheme, url.netloc, url.path) == ("https", "files.example.org", "/camq/a/b")
    assert (plain.scheme, plain.netloc) == ("http", "files.example.org:9000")
    assert parse_qs(url.query)["X-Amz-Signature"]
    assert seen.requests == []
    with pytest.raises(UsageError, match="CAMQ_S3_PUBLIC_ENDPOINT"):
        store_at(seen, **keys, s3_public_endpoint="files.example.org/path")


@pytest.mark.parametrize(("addressing", "path"), [("virtual", "/a/b"), ("path", "/camq/a/b"), ("auto", "/camq/a/b")])
def test_the_bucket_is_in_the_path_or_in_the_hosts_name(addressing: str, path: str, seen: Seen) -> None:
    """Some providers refuse the one, some servers do not know the other."""
    store = store_at(seen, s3_endpoint="s3.example.org", s3_access_key="a", s3_secret_key="b", s3_addressing=addressing)
    url = urlsplit(store.presigned_get("a/b", 60))

    assert url.path == path
    assert url.netloc == ("camq.s3.example.org" if addressing == "virtual" else "s3.example.org")


def test_rights_to_objects_alone_are_enough(seen: Seen) -> None:
    """A policy of GetObject and PutObject alone: the bucket may not be asked for, listed or created."""
    seen.refused = frozenset({"HEAD /camq", "GET /camq", "PUT /camq", "HEAD /camq/inputs/new"})
    store = store_at(seen, s3_access_key="a", s3_secret_key="b")

    store.check()
    store.ensure_bucket()
    assert ("PUT", "/camq/jobs/camq-check/check.json") in [(method, path) for method, path, _ in seen.requests]
    assert store.stat("inputs/new") is None  # without the right to list, what is not there is refused
    seen.refused |= {"PUT /camq/jobs/camq-check/check.json"}
    with pytest.raises(DeniedError, match=r"refuses access to 'camq' in the bucket 'camq'.*what they may do"):
        store_at(seen, s3_access_key="a", s3_secret_key="b").check()
