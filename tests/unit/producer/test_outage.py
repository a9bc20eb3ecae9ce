"""Outages after a job is registered are waited out; work done in parallel keeps its order and its bounds."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from producer import watch
from producer.outage import Patience
from producer.parallel import ordered
from shared.contract import JobStatus, WebhookStatus
from shared.errors import NotFoundError, UnknownJobError, UnreachableError
from tests.support.jobs.statuses import status


class Scripted:
    """A ledger that answers from a script; an exception in it is raised."""

    def __init__(self, *answers: JobStatus | Exception) -> None:
        self._answers = list(answers)

    def status(self, job: str) -> JobStatus:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait_for_news(self, job: str, answered: Any = None) -> Iterator[None]:
        while True:
            yield


def follow(*answers: JobStatus | Exception) -> tuple[list[int], list[str]]:
    notices: list[str] = []
    ledger: Any = Scripted(*answers)
    return [found.done for found in watch.follow(ledger, "j", notices.append)], notices


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_PAUSE_S", 0)


def test_following_ends_with_the_final_status() -> None:
    """And begins with the present one, so that a finished job needs no news."""
    assert follow(status(0), status(1), status(2)) == ([0, 1, 2], [])
    assert follow(status(2)) == ([2], [])


@pytest.mark.parametrize(("state", "reason"), [("delivered", None), ("waiting", "HTTP 503"), ("failed", "HTTP 503")])
def test_servers_that_end_wait_for_one_try_of_the_webhook(state: Any, reason: str | None) -> None:
    """Whatever came of it; a job without one is not waited for."""
    hook = WebhookStatus(url="http://h/", state="waiting", attempts=0, reason=None)
    tried = replace(hook, state=state, attempts=1, reason=reason)
    ledger: Any = Scripted(*(replace(status(2), webhook=each) for each in (hook, replace(hook, attempts=1), tried)))

    assert watch.tried_once(ledger, "j") == tried
    assert watch.tried_once(Scripted(status(2)), "j") is None  # type: ignore[arg-type]


def test_a_webhook_that_nobody_sends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends all the same."""
    monkeypatch.setattr(watch, "_FIRST_TRY_S", -1)
    hook = WebhookStatus(url="http://h/", state="waiting", attempts=0, reason=None)

    assert watch.tried_once(Scripted(replace(status(2), webhook=hook)), "j") == hook  # type: ignore[arg-type]


def test_a_lost_redis_is_a_notice_and_following_goes_on() -> None:
    """One notice per outage; the last known status repeats meanwhile, so that a caller can look at the clock."""
    away = UnreachableError("Redis at x does not answer")

    seen, notices = follow(status(0), away, away, status(1), status(2))

    assert seen == [0, 0, 0, 1, 2]
    assert [notice.partition(";")[0] for notice in notices] == ["Redis at x does not answer", "Redis answers again"]


@pytest.mark.parametrize("error", [UnreachableError("away"), UnknownJobError("no job")])
def test_at_the_start_an_error_is_an_error(error: Exception) -> None:
    """Whoever asks for a job that is not there, or with nobody to ask, is told at once."""
    with pytest.raises(type(error)):
        follow(error)


def test_an_interrupted_submission_is_said_once_with_the_remedy() -> None:
    """Such a job never ends by itself."""
    _, notices = follow(status(0), status(0, interrupted=True), status(1, interrupted=True), status(2))

    assert notices == ["the submission of j was interrupted: repeat its command with --job-id j"]


def test_patience_repeats_what_found_a_service_unreachable() -> None:
    """With one notice for the outage."""
    answers = [UnreachableError("S3 at x does not answer"), UnreachableError("S3 at x does not answer"), None]
    notices: list[str] = []

    def operation() -> str:
        if error := answers.pop(0):
            raise error
        return "done"

    assert Patience(notices.append)(operation) == "done"
    assert notices == ["S3 at x does not answer; trying again"]


def test_patience_passes_other_errors_on() -> None:
    """Waiting does not bring back what is not there."""

    def operation() -> None:
        raise NotFoundError("nothing there")

    with pytest.raises(NotFoundError):
        Patience(pytest.fail)(operation)


def test_patience_ends_when_it_is_given_up() -> None:
    """An interrupted command must not wait for an outage to end."""
    patience = Patience(lambda _: patience.give_up())

    def operation() -> None:
        raise UnreachableError("away")

    with pytest.raises(UnreachableError):
        patience(operation)


def test_parallel_calls_answer_in_order_and_read_few_items_ahead() -> None:
    """Ten million images pass through; only a window of them is in memory."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    answers = ordered(lambda number: number * 2, items(), threads=3)

    assert next(answers) == 0
    assert len(taken) <= 6
    assert list(answers) == [number * 2 for number in range(1, 100)]


def test_parallel_calls_run_at_once() -> None:
    """Three that wait for one another can only end together."""
    together = threading.Barrier(3, timeout=10)

    assert sorted(ordered(lambda _: together.wait(), range(3), threads=3)) == [0, 1, 2]


def test_an_error_in_a_parallel_call_ends_them_all() -> None:
    """What had not begun is dropped."""
    called: list[int] = []

    def call(number: int) -> int:
        called.append(number)
        if number == 2:
            raise NotFoundError("gone")
        return number

    with pytest.raises(NotFoundError):
        list(ordered(call, range(1000), threads=2))
    assert len(called) < 20
