"""How long a worker takes to say goodbye, and how it waits for what other threads do."""

from concurrent.futures import Future
from typing import Any

#: After the grace period of a stop this is left for saying goodbye to Redis; together they fit into the ten seconds
#: that a container gets.
GOODBYE_S = 1.0


def ended(future: Future[Any], seconds: float) -> bool:
    """Waits so long at most; whether the call has ended, well or not. A third of the time of `futures.wait`."""
    try:
        future.exception(seconds)
    except TimeoutError:  # of the wait: the call's own would have been an answer
        return future.done()
    return True
