"""Users of Redis with fewer rights than all: what camq needs, and how a missing right is named."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import redis

from producer.local.doctor import Check, examine
from producer.local.embedded import Supervisor
from producer.local.embedded.redis import RedisServer
from producer.local.embedded.stack import free_ports
from shared.config import Settings
from shared.errors import UsageError
from shared.ledger import RedisLedger
from tests.support.jobs import ledgers
from tests.support.servers.other_servers import works
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Callable[[str], Settings]]:
    """A Redis with users; makes the settings of one with these rights."""
    server = RedisServer(tmp_path / "redis", "secret")
    server.prepare()
    port = next(free_ports())
    with Supervisor() as supervisor:
        supervisor.start(server.spec(port, tmp_path))
        wait_until(lambda: server.ready(port), "Redis is ready")
        with closing(redis.Redis(port=port, password="secret")) as admin:

            def user(rights: str) -> Settings:
                admin.execute_command("ACL", "SETUSER", "bob", "reset", "on", ">p/w", *rights.split())
                return Settings(redis_url=f"redis://bob:p%2Fw@127.0.0.1:{port}/0")

            yield user


def test_a_user_of_redis_needs_these_rights(users: Callable[[str], Settings]) -> None:
    """Those that the message of a missing one asks for: ledger, broker and task states work with them."""
    works(users("~* &* +@all -@dangerous +info"))


@pytest.mark.parametrize(
    ("rights", "says"),
    [
        ("~* &* +@all -@scripting", "eval"),
        ("&* +@all", "key"),
        ("~* resetchannels +@all", "channel"),
        ("~camq:* &* +@all", "key"),
        ("~* &* +@all -hset", "hset"),
        ("~* &* +@read +@scripting +@connection", "hset"),
        ("~* &* +@all -llen", "llen"),
    ],
)
def test_doctor_names_the_right_that_a_user_lacks(rights: str, says: str, users: Callable[[str], Settings]) -> None:
    """One sentence, with what to give it; also where a command meets it before `doctor` does."""
    settings = users(rights)
    (check,) = [check for check in examine_redis(settings) if check.name == "redis"]

    assert not check.ok
    assert says in check.detail.lower()
    assert "+@all -@dangerous" in check.detail
    assert "p/w" not in check.detail
    if "camq:*" not in rights and "llen" not in rights:
        with closing(RedisLedger(settings)) as ledger, pytest.raises(UsageError, match="does not permit this"):
            ledgers.submit(ledger)


def examine_redis(settings: Settings) -> list[Check]:
    return list(islice(examine(settings), 2))


def test_a_user_who_is_not_known_and_a_database_that_is_not_there_are_named(users: Callable[[str], Settings]) -> None:
    """Each in one sentence, without the password."""
    good = users("~* &* +@all").redis_url
    for url, says in (
        (good.replace("bob", "eve"), "refused the password"),
        (good.replace("p%2Fw", "wrong"), "refused the password"),
        (good.removesuffix("/0") + "/99", "does not have the database"),
    ):
        with closing(RedisLedger(Settings(redis_url=url))) as ledger, pytest.raises(UsageError, match=says) as caught:
            ledger.check()
        assert "wrong" not in str(caught.value)
        assert "p/w" not in str(caught.value)
