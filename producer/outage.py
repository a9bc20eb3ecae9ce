"""Waiting an outage out: once a job is registered, a lost service is a notice and not a crash."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, TypeVar

from shared.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
#: Longest pause between two tries: a service that is back is noticed within this time.
_LONGEST_PAUSE_S = 3.0


class Patience:
    """Calls again while a service is unreachable, with a notice per outage, until `give_up` is called."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._stop = Event()
        self._told = Event()

    def __call__(self, operation: Callable[[], T]) -> T:
        """The operation's answer, however long it takes. Other errors pass through at once."""
        try:
            answer = operation()
        except UnreachableError as error:
            self._tell(error)
            answer = self._insist(operation)
        self._told.clear()
        return answer

    def give_up(self) -> None:
        """Calls that wait raise their UnreachableError now."""
        self._stop.set()

    def _insist(self, operation: Callable[[], T]) -> T:
        from tenacity import Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
        from tenacity.nap import sleep_using_event

        again = Retrying(
            retry=retry_if_exception_type(UnreachableError),
            wait=wait_random_exponential(multiplier=0.2, max=_LONGEST_PAUSE_S),
            stop=stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            reraise=True,
        )
        return again(operation)

    def _tell(self, error: UnreachableError) -> None:
        if not self._told.is_set():
            self._told.set()
            self._notice(f"{error}; trying again until it does")
