"""Failures by code: every code is named, the count is exact, and a page stays small."""

import pytest

from producer.web.kit import failures
from producer.web.kit.failures import Failed, group, named
from shared.contract import ErrorInfo
from shared.errors import CODES

EMPTY = ErrorInfo("empty", "the file has no bytes")
TORN = ErrorInfo("truncated", "it ends early")


def test_failures_stand_by_code_the_most_frequent_first() -> None:
    """A reason that all share is said once; the total is the job's, however few details are kept."""
    errors = {5: EMPTY, 2: TORN, 9: TORN}
    found = group(errors, {2: "b", 5: "a", 9: "c"}, 12)

    assert [(one.code, one.count, one.reason) for one in found.groups] == [
        ("truncated", 2, "it ends early"),
        ("empty", 1, "the file has no bytes"),
    ]
    assert found.groups[0].images == (Failed(2, "b"), Failed(9, "c"))
    assert (found.total, found.known) == (12, 3)


def test_reasons_that_differ_stand_with_their_images() -> None:
    """The group then says what its code means."""
    errors = {0: ErrorInfo("inference", "out of luck"), 1: ErrorInfo("inference", "out of time")}
    (found,) = group(errors, {0: "a", 1: "b"}, 2).groups

    assert found.images == (Failed(0, "a", "out of luck"), Failed(1, "b", "out of time"))
    assert found.reason == CODES["inference"]


def test_no_code_hides_behind_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few thousand of one code leave room for the names of a rare one."""
    monkeypatch.setattr(failures, "ROWS", 10)
    errors = dict.fromkeys(range(100), EMPTY) | {100: TORN}

    assert named(errors) == [0, 1, 2, 3, 4, 100]
    assert [one.count for one in group(errors, {}, 101).groups] == [100, 1]


@pytest.mark.parametrize(("codes", "permanent"), [((EMPTY, TORN), True), ((EMPTY, ErrorInfo("timeout", "")), False)])
def test_a_second_look_is_pressed_only_where_it_may_help(codes: tuple[ErrorInfo, ...], permanent: bool) -> None:
    """Bytes that are no picture stay no picture."""
    assert group(dict(enumerate(codes)), {}, 2).permanent is permanent
