"""Ledgers for the tests of the ports."""

from collections.abc import Iterator

import msgspec
import pytest
import redis

from producer.services import Services
from shared import keys
from shared.config import Settings
from shared.ledger import RedisLedger
from tests.support.jobs.racing_store import RacingStore
from tests.support.jobs.scripted_worker import ScriptedWorker


@pytest.fixture
def ledger(settings: Settings, empty_redis: redis.Redis) -> Iterator[RedisLedger]:
    """A ledger on an empty Redis; at the end no key of ours may be without a TTL."""
    made = RedisLedger(settings)
    yield made
    forever = [key for key in made.scripts.client.keys(keys.PREFIX + "*") if made.scripts.client.ttl(key) < 0]
    made.close()
    assert not forever, "a key of ours without TTL"


@pytest.fixture
def hasty(settings: Settings) -> Iterator[RedisLedger]:
    """A ledger whose leases and hints run out at once, so that no test waits for a clock."""
    made = RedisLedger(msgspec.structs.replace(settings, lease_s=1e-6))
    yield made
    made.close()


@pytest.fixture
def store() -> RacingStore:
    """An object store in memory, between whose steps a test may put others."""
    return RacingStore()


@pytest.fixture
def services(settings: Settings, ledger: RedisLedger, store: RacingStore) -> Iterator[Services]:
    """A producer's, with a worker that serves the model."""
    with Services(settings, store=store) as found:
        ScriptedWorker(ledger, store)
        yield found
