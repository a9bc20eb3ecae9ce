"""Which webhooks may be asked for, and what is shown of one."""

import pytest
import urllib3

from shared.checks.destinations import check_webhook, shown_webhook
from shared.errors import UsageError

HOSTS = "hooks.example.com 10.0.0.7:8000 [::1]:9000"


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "http://HOOKS.example.com/a/b?token=x",
        "https://hooks.example.com:443/",
        "http://10.0.0.7:8000/",
        "https://10.0.0.7:8000/",
        "http://[::1]:9000/x",
    ],
)
def test_an_allowed_host_may_be_called(url: str) -> None:
    """With the port that belongs to the scheme, or the one that stands in the list."""
    check_webhook(url, HOSTS)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://example.com/", "CAMQ_WEBHOOK_HOSTS does not allow example.com; add it"),
        ("https://hooks.example.com.evil.org/", "does not allow"),
        ("https://evil.org/?hooks.example.com", "does not allow"),
        ("https://hooks.example.com:6379/", "does not allow hooks.example.com:6379"),
        ("http://10.0.0.7/", "does not allow"),
        ("http://evil.org\\@hooks.example.com/", "does not allow"),
        ("http://hooks.example.com:pw@evil.org/", "a user or password in the URL is not supported"),
        ("http://user@hooks.example.com/", "a user or password in the URL is not supported"),
        ("file:///etc/passwd", "expected http:// or https:// and a host"),
        ("hooks.example.com/x", "expected http:// or https:// and a host"),
        ("", "expected http:// or https:// and a host"),
        ("https://hooks.example.com/a b", "printable ASCII"),
        ("https://hooks.example.com/\r\nHost: x", "printable ASCII"),
        ("https://hooks.example.com/" + "a" * 2048, "printable ASCII"),
        ("https://[hooks.example.com/", "expected a URL"),
    ],
)
def test_anything_else_is_refused_and_says_what_to_do(url: str, says: str) -> None:
    """By a sentence that names the host and the remedy."""
    with pytest.raises(UsageError, match=says):
        check_webhook(url, HOSTS)


def test_checker_and_sender_see_the_same_host() -> None:
    """A backslash ends the host for both; a browser's rules and an RFC's differ there."""
    url = "http://hooks.example.com\\@evil.org/"
    check_webhook(url, HOSTS)

    assert urllib3.util.parse_url(url).host == "hooks.example.com"
    pool = urllib3.PoolManager().connection_from_url(url)
    assert pool.host == "hooks.example.com"


def test_nothing_is_allowed_unless_it_was_said() -> None:
    """The list is empty as camq comes."""
    with pytest.raises(UsageError, match="allowed now: none"):
        check_webhook("https://hooks.example.com/", "")


def test_what_is_shown_has_no_secret_in_it() -> None:
    """Neither in an error nor in a status; a path of plain words is not a secret."""
    url = "https://me:hunter2@evil.org/path?token=t0ken#part"
    with pytest.raises(UsageError) as caught:
        check_webhook(url, HOSTS)

    assert shown_webhook(url) == "https://evil.org/path"
    assert "hunter2" not in str(caught.value)
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.slack.com/services/T000/B000/sEcRet", "https://hooks.slack.com/services/…"),
        ("https://discord.com/api/webhooks/1234567890/secret", "https://discord.com/api/webhooks/…"),
        ("https://hooks.zapier.com/hooks/catch/123/abcdef/", "https://hooks.zapier.com/hooks/catch/…"),
        ("http://10.0.0.7:8000/hook", "http://10.0.0.7:8000/hook"),
        ("https://hooks.example.com/", "https://hooks.example.com/"),
    ],
)
def test_a_secret_in_a_path_is_not_shown(url: str, shown: str) -> None:
    """Whoever has Slack's or Discord's address may write to the channel."""
    assert shown_webhook(url) == shown
