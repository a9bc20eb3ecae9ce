"""Which job is meant: by its id, the beginning of it, its name, or `latest`."""

import pytest

from producer.api.client import Client
from producer.lookup import EVALUATION, find_job
from producer.services import Services
from shared.errors import UnknownJobError, UsageError
from shared.ledger import RedisLedger
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import send


@pytest.fixture
def ledger(services: Services, worker: ScriptedWorker) -> RedisLedger:
    for job, name in (("20261101-a", "cats"), ("20261102-b", "dogs"), ("20261102-c", "dogs"), ("cats", None)):
        send(services, [picture()], job_id=job, name=name)
    return services.ledger


@pytest.mark.parametrize(
    ("meant", "job"),
    [
        ("20261101-a", "20261101-a"),
        ("20261101", "20261101-a"),
        ("20261102-b", "20261102-b"),
        ("latest", "cats"),
        ("cats", "cats"),
    ],
)
def test_a_job_is_found_by_what_means_it_alone(meant: str, job: str, ledger: RedisLedger) -> None:
    """An id comes before a name."""
    assert find_job(ledger, meant) == job


@pytest.mark.parametrize(("meant", "kind"), [("20261102", "begins with"), ("dogs", "has the name")])
def test_one_of_several_is_not_guessed(meant: str, kind: str, ledger: RedisLedger) -> None:
    """The message lists them, the newest first."""
    with pytest.raises(UsageError, match=rf"more than one job {kind} '{meant}': 20261102-c, 20261102-b; give"):
        find_job(ledger, meant)


def test_an_unknown_job_has_the_nearest_id(ledger: RedisLedger) -> None:
    """And nothing means every job."""
    with pytest.raises(UnknownJobError, match="did you mean 20261101-a"):
        find_job(ledger, "20261101-x")
    with pytest.raises(UnknownJobError):
        find_job(ledger, "")


def test_a_mistyped_name_has_the_nearest_name(ledger: RedisLedger) -> None:
    """A name is as good as an id."""
    with pytest.raises(UnknownJobError, match="did you mean dogs"):
        find_job(ledger, "dog")


def test_a_call_is_meant_by_its_id_alone(services: Services) -> None:
    """A program makes them by the thousand: they are neither the latest job, nor does a name mean one."""
    ScriptedWorker(services.ledger, services.store).beat()
    send(services, [picture()], job_id="20261102-mine", name="mine")
    send(services, [picture()], job_id="explain-20261103", name="mine")

    assert [find_job(services.ledger, meant) for meant in ("latest", "mine")] == ["20261102-mine"] * 2
    assert find_job(services.ledger, "explain-2026") == "explain-20261103"


def test_where_there_is_no_job_none_is_the_latest(services: Services) -> None:
    """Not the word's own id either."""
    with pytest.raises(UnknownJobError, match="there is no job yet"):
        find_job(services.ledger, "latest")


def test_an_evaluation_is_not_the_latest_job(services: Services) -> None:
    """Except for `camq evaluate`, which shows it. However many there are, the job before them is found."""
    ScriptedWorker(services.ledger, services.store).beat()
    evaluations = [f"20261103-{number:02}" for number in range(23)]
    for job in evaluations[:1]:
        send(services, [picture()], job_id=job, tags=(EVALUATION,))
    with pytest.raises(UnknownJobError, match="there are only evaluations"):
        find_job(services.ledger, "latest")
    send(services, [picture()], job_id="20261102-mine", tags=("evaluations",))
    for job in evaluations[1:]:
        send(services, [picture()], job_id=job, tags=("nightly", EVALUATION))

    assert find_job(services.ledger, "latest") == "20261102-mine"
    assert find_job(services.ledger, "latest", evaluations=True) == evaluations[-1]


def test_a_handle_says_what_it_is_in_a_line(services: Services, ledger: RedisLedger, worker: ScriptedWorker) -> None:
    """And asks no server for it."""
    with Client(services.settings, store=services.store) as client:
        job = client.job("20261101")
        before = repr(job)
        worker.work_off("20261101-a")
        job.wait()
        (result,) = job.results()

        assert (before, repr(job)) == ("Job('20261101-a')", "Job('20261101-a', succeeded, 1 of 1)")
        assert repr(result) == "ImageResult(0, 'image-0', Prediction(1, 'tench', 0.5))"
        assert repr(result.predictions[0]) == "Prediction(1, 'tench', 0.5)"
        assert repr(client).startswith("Client(")
        assert len(repr(client)) < 80
