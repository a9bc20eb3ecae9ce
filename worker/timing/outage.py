"""Waits out a service that does not answer, within a stated limit."""

import time
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from shared.errors import UnreachableError

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger()

#: How often a wait asks whether it is still wanted.
LOOK_S = 0.2


class Patience:
    """Repeats a call while its service is unreachable: backoff with jitter, at most `limit_s` in all."""

    def __init__(self, limit_s: float, max_wait_s: float = 5.0) -> None:
        self._limit_s = limit_s
        self._max_wait_s = max_wait_s

    def __call__(self, check: Callable[[], None], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call`'s answer. `check` ends the wait within LOOK_S by raising; after the limit UnreachableError passes.

        One try is bounded by the timeouts of the service's client, not by us.
        """
        for attempt in Retrying(
            retry=retry_if_exception_type(UnreachableError),
            wait=wait_random_exponential(multiplier=0.1, max=self._max_wait_s),
            stop=stop_after_delay(self._limit_s),
            sleep=partial(nap, check),
            before_sleep=_tell_once,
            reraise=True,
        ):
            with attempt:
                return call(*args, **kwargs)
        raise AssertionError("unreachable: Retrying either returns or raises")


def nap(check: Callable[[], None], seconds: float) -> None:
    """Sleeps; `check` ends it within LOOK_S by raising."""
    end = time.monotonic() + seconds
    check()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, LOOK_S))
        check()


def _tell_once(state: RetryCallState) -> None:
    # An outage of ten minutes would fill the log with hundreds of lines from each image on its way.
    if state.attempt_number == 1 and state.outcome is not None:
        log.warning("waiting for a service", reason=str(state.outcome.exception()))
