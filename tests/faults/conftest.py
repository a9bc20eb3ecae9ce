"""Worker processes on the session's servers, with short leases so that no test waits long."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from producer import Client
from producer.local.embedded import Stack
from shared import keys
from shared.config import Settings
from shared.ledger import RedisLedger
from tests.chaos.fleet import WorkerProcess, make_network
from tests.chaos.proxy import Proxy
from tests.support.waiting import wait_until

READY_S = 120.0
Start = Callable[..., WorkerProcess]


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A small real network with random weights."""
    return make_network(tmp_path_factory.mktemp("network"))


@pytest.fixture
def fast(stack: Stack, network: dict[str, str], empty_redis: redis.Redis) -> Settings:
    """Leases of three seconds instead of twelve, and the other times to match."""
    return msgspec.structs.replace(
        stack.settings,
        **network,
        lease_s=3.0,
        drain_s=4.0,
        chunk_size=8,
        torch_threads=1,
    )


@pytest.fixture
def ledger(fast: Settings) -> Iterator[RedisLedger]:
    """A ledger on a connection of its own; fails the test if a key of ours has no TTL at the end."""
    made = RedisLedger(fast)
    yield made
    client = made.scripts.client
    forever = [key for key in client.keys(keys.PREFIX + "*") if client.ttl(key) == -1]
    made.close()
    assert not forever, "a key of ours without TTL"


@pytest.fixture
def client(fast: Settings) -> Iterator[Client]:
    """A producer."""
    with Client(fast) as made:
        yield made


@pytest.fixture
def start(ledger: RedisLedger, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker; `start(settings, wait=False)` does not wait until it is ready. All are killed at the end."""
    with ExitStack() as running:
        count = 0

        def run(settings: Settings, *arguments: str, wait: bool = True, **kwargs: object) -> WorkerProcess:
            nonlocal count
            count += 1
            worker = WorkerProcess(settings, tmp_path / f"worker-{count}.log", *arguments, **kwargs)
            running.enter_context(worker)
            if wait:
                wait_until(lambda: worker.ready(ledger), "the worker is ready", READY_S)
            return worker

        yield run


@pytest.fixture
def redis_proxy(fast: Settings) -> Iterator[tuple[Proxy, Settings]]:
    """A proxy before Redis, and the settings that lead through it."""
    port = urlsplit(fast.redis_url).port
    assert port is not None
    with Proxy(port) as proxy:
        through = fast.redis_url.replace(f":{port}", f":{proxy.port}")
        yield proxy, msgspec.structs.replace(fast, redis_url=through)


@pytest.fixture
def s3_proxy(fast: Settings) -> Iterator[tuple[Proxy, Settings]]:
    """A proxy before the storage, and the settings that lead through it."""
    with Proxy(int(fast.s3_endpoint.rpartition(":")[2])) as proxy:
        yield proxy, msgspec.structs.replace(fast, s3_endpoint=f"127.0.0.1:{proxy.port}")
