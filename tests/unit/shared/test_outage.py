"""Waiting for a service that does not answer."""

import time

import pytest

from shared.errors import LostLeaseError, UnreachableError
from shared.outage import Outage, Patience, nap


class Service:
    """A declared test adapter: fails so many times before it answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise UnreachableError("nobody there")
        return "answer"


def go_on() -> None:
    pass


def test_an_outage_shorter_than_the_limit_is_waited_out() -> None:
    """The caller never hears of it."""
    service = Service(3)

    assert Patience(60, max_wait_s=0.01)(go_on, service) == "answer"
    assert service.calls == 4


def test_an_outage_is_reported_once_and_its_end_by_a_call_that_met_it() -> None:
    """Not by another service's answer, or the reports of one outage would never end."""
    reports: list[str] = []
    outage = Outage(lost=lambda error: reports.append(str(error)), back=lambda: reports.append("back"))
    patience = Patience(60, max_wait_s=0.01, outage=outage)

    assert patience(go_on, Service(3)) == "answer"
    outage.failed(UnreachableError("away"))
    assert patience(go_on, Service(0)) == "answer"
    outage.failed(UnreachableError("away"))
    assert patience(go_on, Service(1)) == "answer"
    assert reports == ["nobody there", "back", "away", "back"]


def test_after_the_limit_the_outage_is_the_callers_matter() -> None:
    """The service's own error comes through."""
    with pytest.raises(UnreachableError, match="nobody there"):
        Patience(0.05, max_wait_s=0.01)(go_on, Service(10**6))


def test_other_errors_are_not_repeated() -> None:
    """Only what time can mend is tried again."""
    calls = []

    def fails() -> None:
        calls.append(1)
        raise ValueError("wrong for ever")

    with pytest.raises(ValueError, match="for ever"):
        Patience(60)(go_on, fails)
    assert len(calls) == 1


def test_a_stop_or_a_lost_lease_ends_a_wait_at_once() -> None:
    """A wait is asked several times a second whether it is still wanted, however long its pauses are."""
    looks = []

    def check() -> None:
        looks.append(1)
        if len(looks) > 3:
            raise LostLeaseError("gone")

    began = time.monotonic()
    with pytest.raises(LostLeaseError):
        nap(check, 3600)

    assert time.monotonic() - began < 2
