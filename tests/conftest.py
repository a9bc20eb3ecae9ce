"""Fixtures for every test: one embedded stack per test session, and a look at what a test leaves behind."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import redis

from producer.local.embedded import Stack
from shared.config import Settings
from shared.storage import S3Store
from tests.support.waiting import wait_until

# A shell starts what it puts into the background with Ctrl-C ignored, and the commands under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_STACK = pytest.StashKey[Stack]()

# Tests see only the settings they make: a developer's own CAMQ_* or OTEL_* variables must not lead them elsewhere.
for _name in [name for name in os.environ if name.startswith(("CAMQ_", "OTEL_"))]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Stack]:
    """Both embedded servers, for the whole session (with pytest-xdist one pair per worker)."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        pytestconfig.stash[_STACK] = running
        yield running
        del pytestconfig.stash[_STACK]


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """Settings that lead to the session's servers."""
    return stack.settings


@pytest.fixture
def redis_client(settings: Settings) -> Iterator[redis.Redis]:
    """A client of the session's Redis, which other tests share: use names of your own."""
    with redis.Redis.from_url(settings.redis_url) as client:
        yield client


@pytest.fixture
def empty_redis(redis_client: redis.Redis) -> redis.Redis:
    """The same client, after everything that earlier tests left was removed."""
    redis_client.flushall()
    return redis_client


@pytest.fixture
def s3_store(settings: Settings) -> Iterator[S3Store]:
    """The session's bucket, which other tests share: use keys of your own."""
    with closing(S3Store.from_settings(settings)) as store:
        yield store


@pytest.fixture(autouse=True)
def nothing_left_running(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail a test that leaves a child process, or a thread that would keep Python from ending.

    Fixtures of wider scope are set up before this one, so what they start is known; the session's servers
    may have been restarted by the test.
    """
    processes, threads = _processes(), _threads()
    yield

    def leftovers() -> list[str]:
        stack = pytestconfig.stash.get(_STACK, None)
        servers = set(stack.pids().values()) if stack else set()
        new = {pid: text for pid, text in _processes().items() if pid not in processes.keys() | servers}
        return [*new.values(), *(str(thread) for thread in _threads() - threads)]

    try:
        wait_until(lambda: not leftovers(), "what the test started has ended", timeout_s=30)
    except AssertionError:
        pytest.fail(f"the test left running: {leftovers()}")


def _processes() -> dict[int, str]:
    with suppress(OSError):  # a thread that ends meanwhile takes its list with it
        lists = list(Path("/proc/self/task").glob("*/children"))
        if lists and not any(path.read_text() for path in lists):
            return {}  # the usual case; psutil would look at every process of the machine, twice per test
    return {child.pid: _described(child) for child in psutil.Process().children()}


def _described(child: psutil.Process) -> str:
    with suppress(psutil.Error):  # it ends meanwhile
        return f"{child.pid}: {' '.join(child.cmdline())[:200]}"
    return str(child)


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.daemon}
