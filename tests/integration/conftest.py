"""A producer on a real Redis and a memory store, and a worker played by hand."""

from collections.abc import Iterator

import msgspec
import pytest
import redis

from producer import Client
from producer.services import Services
from shared.config import Settings
from shared.ledger import RedisLedger
from tests.support.jobs.scripted_worker import ScriptedWorker
from tests.support.jobs.submitting import CountingStore


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def services(settings: Settings, empty_redis: redis.Redis, store: CountingStore) -> Iterator[Services]:
    with Services(msgspec.structs.replace(settings, chunk_size=4), store=store) as found:
        yield found


@pytest.fixture
def client(services: Services) -> Iterator[Client]:
    with Client(services.settings, store=services.store) as found:
        yield found


@pytest.fixture
def ledger(services: Services) -> RedisLedger:
    return services.ledger


@pytest.fixture
def worker(ledger: RedisLedger, store: CountingStore) -> ScriptedWorker:
    return ScriptedWorker(ledger, store)
