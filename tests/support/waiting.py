"""Waiting for a described condition, so that no test sleeps for a guessed time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], description: str, timeout_s: float = 10.0, pause_s: float = 0.01) -> T:
    """The predicate's first truthy value. Fails with `description` when there is none in time.

    An AssertionError inside the predicate counts as "not yet" and is shown at the end.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        reason = "the value stayed falsy"
        try:
            value = predicate()
            if value:
                return value
            reason = f"the last value was {value!r}"
        except AssertionError as error:
            reason = f"the last failure was {error}"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {description}; {reason}")
        time.sleep(pause_s)
