"""What the S3 adapter does when the server refuses, is away, or is slow."""

import gzip
import socket
import time
from collections.abc import Callable
from contextlib import closing

import msgspec
import pytest

from shared.config import Settings
from shared.errors import (
    CamqError,
    CredentialsError,
    DeniedError,
    NotFoundError,
    ObjectTooLargeError,
    UnavailableError,
    UnreachableError,
    UsageError,
)
from shared.storage import S3Store
from tests.support.servers.answering import server_that_answers

SECRET = "s3cr3t-of-the-test"


@pytest.mark.servers
@pytest.mark.parametrize("wrong", [{"s3_access_key": "nobody"}, {"s3_secret_key": "wrong-secret"}])
def test_refused_credentials_are_named(settings: Settings, wrong: dict[str, str]) -> None:
    """The message names the variables to set and the address, never the secret."""
    with closing(S3Store.from_settings(msgspec.structs.replace(settings, **wrong))) as store:
        for ask in (store.check, lambda: store.get("a"), lambda: store.put("a", b"")):
            with pytest.raises(DeniedError, match="CAMQ_S3_SECRET_KEY") as caught:
                ask()
            assert settings.s3_endpoint in str(caught.value)
            assert settings.s3_secret_key not in str(caught.value)
            assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "127.0.0.1:9000/path", "127.0.0.1:port"])
def test_an_endpoint_that_is_not_host_and_port_is_a_usage_error(endpoint: str) -> None:
    """The commonest mistake is a URL where a host and port belong."""
    with pytest.raises(UsageError, match="CAMQ_S3_ENDPOINT"):
        S3Store.from_settings(Settings(s3_endpoint=endpoint))


def test_a_refused_connection_is_unreachable_at_once() -> None:
    """Nobody listens: the address is named, and nothing is tried again."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{unused.getsockname()[1]}.*refused"):
            _store_at(unused.getsockname()[1]).check()


@pytest.mark.slow
def test_a_port_that_swallows_everything_is_unreachable_within_five_seconds() -> None:
    """The connection is accepted by the kernel and never answered: a frozen server, a firewall."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=r"timed out|timeout"):
            _store_at(listener.getsockname()[1]).check()
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, "<Error><Code>SlowDown</Code></Error>", UnreachableError),
        (500, "<Error><Code>InternalError</Code></Error>", UnreachableError),
        (502, "<html>bad gateway</html>", UnreachableError),
        (403, "<Error><Code>AccessDenied</Code></Error>", DeniedError),
        (404, "<Error><Code>NoSuchKey</Code></Error>", NotFoundError),
        (404, "<Error><Code>NoSuchBucket</Code></Error>", UnreachableError),
        (200, "not even XML", None),
        (400, "<Error><Code>EntityTooLarge</Code></Error>", UnavailableError),
        (403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", CredentialsError),
        (400, "<Error><Code>ExpiredToken</Code></Error>", CredentialsError),
        (400, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>", DeniedError),
        (301, "<Error><Code>PermanentRedirect</Code></Error>", DeniedError),
        (403, "<Error><Code>InvalidObjectState</Code></Error>", UnavailableError),
        (507, "<Error><Code>XMinioStorageFull</Code></Error>", UnreachableError),
    ],
)
def test_every_answer_is_ours(status: int, body: str, expected: type[Exception] | None) -> None:
    """Callers know no other errors."""
    with server_that_answers(status, body) as port:
        store = _store_at(port)
        if expected is None:
            assert store.get("key") == body.encode()
        else:
            with pytest.raises(expected):
                store.get("key")


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_web_server_in_the_place_of_storage_is_named(status: int) -> None:
    """A proxy's login page, or the server's console at another port: one answer to whatever is asked, and no S3."""
    with server_that_answers(status, "<html>log in", etag="") as port:
        store = _store_at(port)
        asks = [lambda: store.put("key", b"1"), lambda: list(store.list("inputs/")), lambda: store.delete(["key"])]
        for ask in (*asks, store.check, store.ensure_bucket):
            with pytest.raises(UnreachableError, match="not as an S3 server does: check CAMQ_S3_ENDPOINT"):
                ask()


@pytest.mark.parametrize("status", [301, 400])
def test_a_wrong_region_is_the_operators_matter_in_our_bucket_and_that_objects_elsewhere(status: int) -> None:
    """A request for the head of an object is refused without a body, so that the status alone says why."""
    with server_that_answers(status, "") as port:
        store = _store_at(port)
        with pytest.raises(DeniedError, match="CAMQ_S3_REGION"):
            store.stat("key")
        with pytest.raises(UnavailableError, match="in another region"):
            store.stat("s3://other/key")


ANSWERS = {
    "AuthorizationHeaderMalformed": (400, "in the region 'eu-west-1', and CAMQ_S3_REGION is 'us-east-1'"),
    "PermanentRedirect": (301, "set CAMQ_S3_REGION=eu-west-1"),
    "TemporaryRedirect": (307, "set CAMQ_S3_REGION=eu-west-1"),
    "AccessDenied": (403, "what they may do"),
    "AllAccessDisabled": (403, "the owner of the bucket has closed it"),
    "AccountProblem": (403, "ask it"),
    "SignatureDoesNotMatch": (403, "this machine's clock"),
    "InvalidAccessKeyId": (403, "check CAMQ_S3_ACCESS_KEY"),
    "ExpiredToken": (400, "CAMQ_S3_SESSION_TOKEN"),
    "InvalidBucketName": (400, "check CAMQ_BUCKET"),
    "SecondLevelDomainForbidden": (403, "set CAMQ_S3_ADDRESSING=virtual"),
    "InvalidObjectState": (403, "cold storage"),
    "XMinioStorageFull": (507, "no space left"),
    "KMS.DisabledException": (400, "the key that encrypts the bucket"),
    "MethodNotAllowed": (405, "CAMQ_S3_ENDPOINT"),
    "NotImplemented": (501, "CAMQ_S3_ENDPOINT"),
    "QuotaExceeded": (403, "raise its quota"),
    "SomethingNew": (418, "SomethingNew: m"),
}


@pytest.mark.parametrize("code", ANSWERS)
def test_every_refusal_is_one_sentence_with_the_code_the_bucket_and_the_way(code: str) -> None:
    """From every call, of our bucket and of others, and without a bit of the secret."""
    status, way = ANSWERS[code]
    body = f"<Error><Code>{code}</Code><Message>m</Message><Region>eu-west-1</Region></Error>"
    headers = {"x-amz-bucket-region": "eu-west-1", "Content-Length": str(len(body))}
    said = {}
    with server_that_answers(status, body, headers=headers) as port:
        store = _store_at(port)
        calls: dict[str, Callable[[], object]] = {
            "ensure_bucket": store.ensure_bucket,
            "check": store.check,
            "get": lambda: store.get("inputs/x"),
            "head": lambda: store.head("inputs/x", 9),
            "put": lambda: store.put("inputs/x", b"1"),
            "stat": lambda: store.stat("s3://other/x.jpg"),
            "list": lambda: list(store.list("s3://other/p/")),
            "delete": lambda: store.delete(["inputs/x"]),
        }
        for name, call in calls.items():
            with pytest.raises(CamqError) as caught:
                call()
            said[name] = str(caught.value)

    for name, text in said.items():
        assert "\n" not in text
        assert SECRET not in text
        assert f"127.0.0.1:{port}" in text
        if status not in (507, 418):  # a HEAD has no body to say more
            assert "'camq'" in text or "s3://other" in text, (name, text)
    assert way in said["get"]
    assert code in said["get"]


def test_the_region_is_found_in_the_body_too() -> None:
    """Not every server sends the header."""
    for told in ("<Region>ap-south-1</Region>", "<Message>'us-east-1' is wrong; expecting 'ap-south-1'</Message>"):
        body = f"<Error><Code>AuthorizationHeaderMalformed</Code>{told}</Error>"
        with server_that_answers(400, body) as port, pytest.raises(DeniedError) as caught:
            _store_at(port).get("key")
        assert "set CAMQ_S3_REGION=ap-south-1" in str(caught.value)


@pytest.mark.parametrize("length", [True, False])
def test_a_body_that_would_unpack_to_more_than_the_limit_is_read_as_it_is_stored(length: bool) -> None:
    """A gzip encoding in the object's header makes no 100 MB of 100 KB; a missing length lets no more in."""
    bomb = gzip.compress(bytes(1_000_000))
    headers = {"Content-Encoding": "gzip"} | ({"Content-Length": str(len(bomb))} if length else {"Connection": "close"})
    with server_that_answers(200, bomb, headers=headers) as port:
        store = _store_at(port)

        assert store.get("key", max_bytes=len(bomb)) == bomb
        with pytest.raises(ObjectTooLargeError, match=str(len(bomb) - 1)):
            store.get("key", max_bytes=len(bomb) - 1)


def test_a_body_that_ends_early_is_an_outage() -> None:
    """Half an object is none, also where the reader has a limit."""
    with server_that_answers(200, b"half", headers={"Content-Length": "8", "Connection": "close"}) as port:
        for limit in (None, 100):
            with pytest.raises(UnreachableError):
                _store_at(port).get("key", max_bytes=limit)


@pytest.mark.slow
def test_a_slow_reader_gets_a_body_that_takes_longer_than_the_connect_timeout() -> None:
    """A timeout bounds one slice of a body; urllib3 alone would cut the upload off at three seconds."""
    with server_that_answers(200, "", read_delay_s=0.4) as port:
        _store_at(port).put("slow", bytes(100_000_000))


def _store_at(port: int) -> S3Store:
    return S3Store.from_settings(Settings(s3_endpoint=f"127.0.0.1:{port}", s3_access_key="key", s3_secret_key=SECRET))
