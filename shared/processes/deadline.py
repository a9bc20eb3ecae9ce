"""Limits in seconds during which this process ran: a stop of the whole process is not a picture's fault."""

import time

#: A wait is cut into pieces of this length. Whatever a piece really took (a SIGSTOP, `docker pause`, a machine that
#: slept), it counts as two of them at most.
PIECE_S = 0.5


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
