"""Bounded waits. A `Deadline` counts seconds during which this process ran: its stops are not a picture's fault."""

import time
from concurrent.futures import Future
from typing import Any

#: A wait is cut into pieces of this length. Whatever a piece really took (a SIGSTOP, `docker pause`, a machine that
#: slept), it counts as two of them at most.
PIECE_S = 0.5
#: After the grace period of a stop this is left for saying goodbye to Redis; together they fit into the ten seconds
#: that a container gets.
GOODBYE_S = 1.0


class Deadline:
    """Ends after `limit_s` seconds, of which those count in which the process was awake."""

    def __init__(self, limit_s: float) -> None:
        self._left = limit_s
        self._since = time.monotonic()

    def piece(self) -> float:
        """How long to wait now, before `passed` is asked again."""
        return min(PIECE_S, max(0.0, self._left))

    def passed(self) -> bool:
        """Whether the seconds are over."""
        now = time.monotonic()
        self._left -= min(now - self._since, 2 * PIECE_S)
        self._since = now
        return self._left <= 0


def ended(future: Future[Any], seconds: float) -> bool:
    """Waits so long at most; whether the call has ended, well or not. A third of the time of `futures.wait`."""
    try:
        future.exception(seconds)
    except TimeoutError:  # of the wait: the call's own would have been an answer
        return future.done()
    return True
