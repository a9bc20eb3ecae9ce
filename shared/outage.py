"""Waits out a service that does not answer, or refuses us, and reports each outage once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import ParamSpec, TypeVar

from shared.errors import CamqError, UnreachableError

P = ParamSpec("P")
T = TypeVar("T")
#: How often a wait asks whether it is still wanted.
LOOK_S = 0.2


class Outage:
    """Reports the beginning and the end of an outage once each, however many calls and threads meet it."""

    def __init__(
        self, lost: Callable[[CamqError], None] = lambda _: None, back: Callable[[], None] = lambda: None
    ) -> None:
        self._lost = lost
        self._back = back
        self._lock = Lock()
        self._down = False
        self._waits: list[str] = []

    @property
    def waiting_for(self) -> str | None:
        """Why calls wait at this moment; None while none does."""
        with self._lock:
            return self._waits[-1] if self._waits else None

    @contextmanager
    def waiting(self, error: CamqError) -> Iterator[None]:
        """A call waits while the block lasts."""
        reason = str(error)
        with self._lock:
            self._waits.append(reason)
        try:
            yield
        finally:
            with self._lock:
                self._waits.remove(reason)

    def failed(self, error: CamqError) -> None:
        """A call found its service unreachable, or was refused."""
        with self._lock:
            first, self._down = not self._down, True
        if first:
            self._lost(error)

    def answered(self) -> None:
        """A call that could have met the outage got its answer."""
        with self._lock:
            over, self._down = self._down, False
        if over:
            self._back()


class Patience:
    """Repeats a call that raises one of `waits_for`: backoff with jitter, at most `limit_s` (None: without end)."""

    def __init__(
        self,
        limit_s: float | None,
        max_wait_s: float = 5.0,
        outage: Outage | None = None,
        waits_for: tuple[type[CamqError], ...] = (UnreachableError,),
    ) -> None:
        self._limit_s = limit_s
        self._max_wait_s = max_wait_s
        self._outage = outage or Outage()
        self._waits_for = waits_for

    def __call__(self, check: Callable[[], None], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call`'s answer. `check` ends the wait within LOOK_S by raising; after the limit the error passes.

        One try is bounded by the timeouts of the service's client, not by us.
        """
        try:
            return call(*args, **kwargs)
        except self._waits_for as error:
            self._outage.failed(error)
            met = error
        with self._outage.waiting(met):
            return self._again(check, partial(call, *args, **kwargs))

    def _again(self, check: Callable[[], None], call: Callable[[], T]) -> T:
        # Not at the top: a command that meets no outage starts sooner without it.
        from tenacity import Retrying, retry_if_exception_type, stop_after_delay, stop_never, wait_random_exponential

        again = Retrying(
            retry=retry_if_exception_type(self._waits_for),
            wait=wait_random_exponential(multiplier=0.1, max=self._max_wait_s),
            stop=stop_never if self._limit_s is None else stop_after_delay(self._limit_s),
            sleep=partial(nap, check),
            reraise=True,
        )
        nap(check, 0)
        answer = again(call)
        # A call that never failed does not report the end: it may have asked another service.
        self._outage.answered()
        return answer


def nap(check: Callable[[], None], seconds: float) -> None:
    """Sleeps; `check` ends it within LOOK_S by raising."""
    end = time.monotonic() + seconds
    check()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, LOOK_S))
        check()
