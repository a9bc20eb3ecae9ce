"""Addresses of Redis in every form."""

import pytest

from shared.config import Settings, secrets
from shared.errors import UsageError
from shared.redis_url import Sentinels, celery_options, celery_url, check, sentinels, shown

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


def test_a_sentinel_address_keeps_its_users_and_the_sentinels_own_password() -> None:
    """The user of the master, and who the Sentinels want; Celery is told the same."""
    url = "redis+sentinel://bob:p%40w@h:26379/0?master=m&sentinel_password=s%26&sentinel_username=watch"
    found = sentinels(url)

    assert found is not None
    assert (found.username, found.password) == ("bob", "p@w")
    assert found.login == {"username": "watch", "password": "s&"}
    assert celery_url(url) == "sentinel://bob:p%40w@h:26379/0"
    assert celery_options(url) == {"master_name": "m", "sentinel_kwargs": found.login}
    assert "s&" not in shown(url)
    assert secrets(Settings(redis_url=url)) == ["p%40w", "s%26", "p@w", "s&"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://h:1/0?ssl_cert_reqs=none", "unknown parameter 'ssl_cert_reqs': redis:// takes db; TLS is rediss://"),
        ("redis://h:1/0?foo=1", "unknown parameter 'foo'"),
        ("redis+sentinel://h/0?master=m&db=1", "unknown parameter 'db'"),
        ("redis://h:1/abc", "names the database 'abc': expected a number"),
        ("redis://h:1/-1", "names the database '-1'"),
        ("unix:///run/r.sock?db=x", "names the database 'x'"),
        ("redis+sentinel://h/x?master=m", "names the database 'x'"),
        ("http://h:1/0", "begins with 'http://'"),
        ("localhost:6379", "begins with 'no scheme'"),
        ("redis-socket:///x", "begins with"),
    ],
)
def test_an_address_that_no_client_could_use_says_what_is_wrong(url: str, says: str) -> None:
    """Before anything is connected."""
    with pytest.raises(UsageError) as caught:
        _ = check(url) or sentinels(url)

    assert says in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["redis://h", "redis://h:1/", "redis://u:p@h:1/15", "rediss://h/0?ssl_ca_certs=f&ssl_certfile=c&ssl_keyfile=k",
     "unix:///run/r.sock?db=2", "redis://h:1?db=3"],
)  # fmt: skip
def test_an_address_that_is_right_is_let_through(url: str) -> None:
    """With its database in the path or as a parameter."""
    check(url)
