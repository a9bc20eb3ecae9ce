"""`python -m tests.faults.killed_worker WINDOW SIGNAL`: a worker that signals itself once, at one exact place."""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from kombu.transport import redis as kombu_redis

from shared.ledger import RedisLedger
from worker.__main__ import main


def strike(owner: type, method: str, number: signal.Signals, *, after: bool) -> None:
    """Make the first call of the method send the signal, before or after its work."""
    original: Callable[..., Any] = getattr(owner, method)
    done = False

    def doomed(*args: Any, **kwargs: Any) -> Any:
        nonlocal done
        result = original(*args, **kwargs) if after else None
        if not done:
            done = True
            # To this thread: a SIGSTOP to the process stops its main thread first, while this one may still commit.
            signal.pthread_kill(threading.get_ident(), number)
        return result if after else original(*args, **kwargs)

    setattr(owner, method, doomed)


#: Where it strikes: the method, and whether its work is done before.
WINDOWS: dict[str, tuple[type, str, bool]] = {
    "after the pop, before the bookkeeping": (kombu_redis.QoS, "append", False),
    "after the claim": (RedisLedger, "claim", True),
    "after the upload, before the commit": (RedisLedger, "commit", False),
    "after the commit, before the ack": (RedisLedger, "commit", True),
}

if __name__ == "__main__":
    window, number = sys.argv[1:]
    owner, method, after = WINDOWS[window]
    strike(owner, method, signal.Signals[number], after=after)
    sys.exit(main(["serve"]))
