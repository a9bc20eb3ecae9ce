"""What `camq doctor` says of a Redis or a storage that is there and refuses: one sentence, with what to change."""

from itertools import islice

import msgspec
import pytest

from producer.local.doctor import Check, examine, exit_status
from shared.config import Settings
from tests.support.servers.answering import server_that_answers

REDIS = {
    "another database": ("/99", "does not have the database of CAMQ_REDIS_URL"),
    "unknown parameter": ("/0?sll_ca_certs=ca.pem", "unknown parameter 'sll_ca_certs'"),
    "no number": ("/main", "names the database 'main'"),
}
STORAGE = {
    "AccessDenied": (403, "what they may do"),
    "AuthorizationHeaderMalformed": (400, "set CAMQ_S3_REGION=eu-west-1"),
    "PermanentRedirect": (301, "set CAMQ_S3_REGION=eu-west-1"),
    "XMinioStorageFull": (507, "no space left"),
    "NoSuchBucket": (404, "there is no bucket 'camq'"),
    "InternalError": (500, "HTTP 500"),
}


def looked_at(settings: Settings, name: str) -> Check:
    """The check of that name; what follows it would load torch."""
    (check,) = [check for check in islice(examine(settings), 4) if check.name == name]
    return check


@pytest.mark.servers
@pytest.mark.parametrize("case", REDIS)
def test_a_redis_that_refuses_is_not_to_be_started(case: str, settings: Settings) -> None:
    """The address is what is wrong, so the remedy of a Redis that is away would mislead."""
    path, says = REDIS[case]
    check = looked_at(
        msgspec.structs.replace(settings, redis_url=settings.redis_url.removesuffix("/0") + path), "redis"
    )

    assert (check.ok, check.remedy, exit_status([check])) == (False, None, 5)
    assert says in check.detail
    assert "\n" not in check.detail


@pytest.mark.servers
@pytest.mark.parametrize("code", STORAGE)
def test_storage_that_refuses_says_what_to_change(code: str, settings: Settings) -> None:
    """Only for a server that cannot work now is there a remedy beside its sentence."""
    status, says = STORAGE[code]
    body = f"<Error><Code>{code}</Code></Error>"
    headers = {"x-amz-bucket-region": "eu-west-1", "Content-Length": str(len(body))}
    with server_that_answers(status, body, headers=headers) as port:
        there = msgspec.structs.replace(settings, s3_endpoint=f"127.0.0.1:{port}")
        check = looked_at(there, "storage")

    away = status >= 500
    assert (check.ok, bool(check.remedy)) == (False, away)
    assert exit_status([check]) == (4 if away else 5)
    assert says in check.detail
    assert settings.s3_secret_key not in check.detail


@pytest.mark.slow
@pytest.mark.servers
def test_a_model_that_nobody_asked_for_is_no_fault(settings: Settings) -> None:
    """A machine that only submits need not have the default model's weights."""
    asked = msgspec.structs.replace(settings, labels="none.txt")
    (weights,) = [check for check in examine(asked) if check.name == "weights"]
    (wanted,) = [
        check for check in examine(msgspec.structs.replace(asked, model="resnet18")) if check.name == "weights"
    ]

    assert (weights.ok, exit_status([weights])) == (True, 0)
    assert weights.detail.startswith("CAMQ_MODEL is not set, and the default, resnet18, cannot be served here: ")
    assert (wanted.ok, exit_status([wanted])) == (False, 5)
    assert "camq worker --model resnet18" in (wanted.remedy or "")
