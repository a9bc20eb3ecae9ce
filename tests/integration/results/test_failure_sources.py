"""The names of failed images, on a real ledger."""

import pytest

from producer.results import originals
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import submit
from shared import keys
from tests.support.jobs.submitting import CountingStore, pictures


@pytest.mark.usefixtures("worker")
def test_a_name_is_read_where_its_chunk_lies(services: Services, store: CountingStore) -> None:
    """Of each chunk that holds one of them the references are read once; an index that no chunk holds has no name."""
    job = submit(services, {f"k{number}": data for number, data in enumerate(pictures(10))}, Request())
    read: list[str] = []
    get = store.get
    store.get = lambda key, *limits: (read.append(key), get(key, *limits))[1]  # type: ignore[assignment, func-returns-value]

    found = originals.sources(services.ledger, store, job, {9, 0, 3, 12})

    assert {index: name.rpartition(" ")[2] for index, name in found.items()} == {0: "(k0)", 3: "(k3)", 9: "(k9)"}
    assert read == [keys.chunk_object(job, "000000"), keys.chunk_object(job, "000002")]
