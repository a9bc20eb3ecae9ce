"""Once a job is registered, a lost service is a notice to the user and not a crash."""

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from shared.errors import UnreachableError
from shared.outage import Outage
from shared.outage import Patience as Waiting

T = TypeVar("T")
#: Longest pause between two tries: a service that is back is noticed within this time.
_LONGEST_PAUSE_S = 3.0


class Patience:
    """Calls again while a service is unreachable, with a notice per outage, until `give_up` is called."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._stop = Event()
        self._outage = Outage(lost=lambda error: notice(f"{error}; trying again"))

    def __call__(self, operation: Callable[[], T]) -> T:
        """The operation's answer, however long it takes. Other errors pass through at once."""
        last: list[UnreachableError] = []

        def noted() -> T:
            try:
                return operation()
            except UnreachableError as error:
                last[:] = [error]
                raise

        def check() -> None:
            if self._stop.is_set():
                raise last[0]

        return Waiting(None, _LONGEST_PAUSE_S, self._outage)(check, noted)

    def give_up(self) -> None:
        """Calls that wait raise their UnreachableError now."""
        self._stop.set()
