"""A Redis whose memory is full: it answers, but takes no writes until the operator makes room."""

from collections.abc import Callable, Iterator

import pytest
import redis

from shared.contract import ImageState
from shared.errors import UnreachableError
from shared.ledger import RedisLedger
from tests.support.jobs.ledgers import MODEL, claim, serve, submit

pytestmark = pytest.mark.servers


@pytest.fixture
def full(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """The session's Redis with a limit of one byte, once `config_set` is called; lifted at the end."""
    yield redis_client
    redis_client.config_set("maxmemory", 0)


def test_a_full_redis_is_waited_for_and_loses_nothing(ledger: RedisLedger, full: redis.Redis) -> None:
    """Every write says so in the way that workers and producers wait for; reading goes on; then so does the rest."""
    submit(ledger, chunks=2)
    hint, _ = ledger.refill(MODEL)
    held = claim(ledger, hint)
    full.config_set("maxmemory", 1)

    writes: dict[str, Callable[[], object]] = {
        "open": lambda: submit(ledger, "another"),
        "commit": lambda: ledger.commit(held, [ImageState.SUCCEEDED] * 3, {}),
        "renew": lambda: ledger.renew([held]),
        "reap": lambda: ledger.reap(MODEL, high_empty=False, bulk_empty=False),
        "beat": lambda: serve(ledger),
    }
    assert {name for name, write in writes.items() if refused(write)} == writes.keys()
    assert ledger.status("job").running == 3

    full.config_set("maxmemory", 0)
    ledger.commit(held, [ImageState.SUCCEEDED] * 3, {})
    assert ledger.status("job").succeeded == 3


def refused(write: Callable[[], object]) -> bool:
    """Whether it says that Redis takes no writes, as what workers and producers wait out."""
    try:
        write()
    except UnreachableError as error:
        return "takes no writes" in str(error)
    return False
