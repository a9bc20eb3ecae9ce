"""The HTTP API, and a worker played by hand."""

from collections.abc import Iterator

import pytest

from producer.services import Services
from tests.support.jobs.scripted_worker import ScriptedWorker
from tests.support.servers.api import TestClient, api


@pytest.fixture
def client(services: Services, worker: ScriptedWorker) -> Iterator[TestClient]:
    """With a token that may do everything."""
    with api(services) as found:
        yield found
