"""The same submission again: it does nothing, goes on where it stopped, or is refused; outages are waited for."""

import hashlib
from typing import Any

import pytest

from producer.services import Services
from producer.submission.submit import Listener
from shared import keys
from shared.errors import UnreachableError, UsageError
from tests.support.jobs.submitting import CountingStore, pictures, send


@pytest.mark.usefixtures("worker")
def test_the_same_submission_again_does_nothing(services: Services, store: CountingStore) -> None:
    """The id makes it safe to repeat a command that may have worked."""
    send(services, pictures(6), job_id="mine")
    before = list(store.written)

    send(services, pictures(6), job_id="mine")

    assert store.written == before
    assert services.ledger.status("mine").total == 6


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("images", [pictures(8)[::-1], pictures(4), pictures(9)])
def test_the_same_id_with_other_pictures_is_refused_and_changes_nothing(
    images: list[bytes], services: Services, store: CountingStore
) -> None:
    """Also when the others are a part of them; the references that workers read stay as they were."""
    send(services, pictures(8), job_id="mine")
    before = store.get(keys.chunk_object("mine", "000000"))

    with pytest.raises(UsageError, match="other pictures"):
        send(services, images, job_id="mine")

    assert store.get(keys.chunk_object("mine", "000000")) == before
    assert services.ledger.status("mine").total == 8


@pytest.mark.usefixtures("worker")
def test_an_interrupted_submission_is_resumed_by_the_same_command(services: Services, store: CountingStore) -> None:
    """Chunks that are registered stay; the rest is added and the job sealed."""

    def interrupt(uploaded: int, _total: int | None) -> None:
        if uploaded == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(services, pictures(10), Listener(progress=interrupt), job_id="mine")
    assert services.ledger.status("mine").sealed is False
    assert services.ledger.chunks("mine") == ["000000"]

    send(services, pictures(10), job_id="mine")

    status = services.ledger.status("mine")
    assert (status.sealed, status.total) == (True, 10)
    assert len(store.inputs()) == 10


@pytest.mark.usefixtures("worker")
def test_storage_that_goes_away_during_the_upload_is_waited_for(services: Services, store: CountingStore) -> None:
    """With a notice; nothing is lost."""
    store.failures = [UnreachableError("S3 at x does not answer")]
    heard: list[str] = []

    job = send(services, pictures(3), Listener(notice=heard.append))

    assert services.ledger.status(job).total == 3
    assert heard == ["S3 at x does not answer; trying again"]


@pytest.mark.usefixtures("worker")
def test_of_two_submissions_with_one_id_the_refused_one_has_changed_nothing(
    services: Services, store: CountingStore
) -> None:
    """Both found the job new and unregistered; the second to reserve a chunk writes no references over the first's."""
    reserve = services.ledger.reserve

    def overtaken(*args: Any) -> bool:
        services.ledger.reserve = reserve  # type: ignore[method-assign]
        send(services, pictures(4), job_id="mine")
        return reserve(*args)

    services.ledger.reserve = overtaken  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="other pictures"):
        send(services, pictures(4)[::-1], job_id="mine")

    raw = store.get(keys.chunk_object("mine", "000000"))
    assert hashlib.sha256(raw).hexdigest() == services.ledger.submitted("mine")[0].digest
    assert store.written.count(keys.chunk_object("mine", "000000")) == 1
