"""Addresses of Redis in every form."""

import pytest

from shared.config import Settings, secrets
from shared.errors import UsageError
from shared.redis_url import Sentinels, celery_options, celery_url, sentinels, shown

URL = "redis+sentinel://:p%40ss@h1:26380,h2/3?master=camq"


def test_a_sentinel_address_names_hosts_master_and_database() -> None:
    """The port may be left out; any other address names no Sentinel."""
    assert sentinels(URL) == Sentinels((("h1", 26380), ("h2", 26379)), "camq", 3, "p@ss")
    assert sentinels("redis://h:1/0") is None


def test_celery_gets_its_own_spelling() -> None:
    """One URL per Sentinel and the master's name as an option; certificates are always checked."""
    assert celery_options(URL) == {"master_name": "camq"}
    assert celery_url("redis+sentinel://:pw@h1,h2/3?master=m") == "sentinel://:pw@h1:26379/3;sentinel://:pw@h2:26379/3"
    assert celery_url("rediss://h:1/0") == "rediss://h:1/0?ssl_cert_reqs=required"
    assert celery_url("rediss://h:1/0?ssl_cert_reqs=none") == "rediss://h:1/0?ssl_cert_reqs=none"
    assert (celery_url("redis://h:1/0"), celery_options("redis://h:1/0")) == ("redis://h:1/0", {})


@pytest.mark.parametrize(
    "url", ["redis+sentinel://h1/0", "redis+sentinel:///0?master=m", "redis+sentinel://h:x?master=m"]
)
def test_an_incomplete_sentinel_address_is_refused(url: str) -> None:
    """With the form that is expected."""
    with pytest.raises(UsageError, match="master=NAME"):
        sentinels(url)


def test_no_address_is_shown_with_its_password() -> None:
    """Not of Redis, not of Sentinels, not of another broker."""
    assert shown("redis://:pw@cache:6380/0") == "cache:6380"
    assert shown("redis+sentinel://:pw@h1:1,h2:2/0?master=m") == "h1:1,h2:2 (Sentinel)"
    assert shown("amqp://user:pw@rabbit//") == "rabbit:5672"
    assert "hidden" in secrets(Settings(broker_url="amqp://user:hidden@rabbit//"))
    assert "hidden" not in repr(Settings(broker_url="amqp://user:hidden@rabbit//"))
