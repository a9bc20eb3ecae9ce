"""Many slow calls at once, their answers in order, and never more than a window of them in memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ordered(function: Callable[[A], B], items: Iterable[A], *, threads: int) -> Generator[B, None, None]:
    """Like `map`, with `threads` calls at a time. Takes at most twice as many items ahead of its reader.

    An exception, or a reader that stops, ends it: calls under way finish, waiting ones are dropped.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="camq")
    under_way: deque[Future[B]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) >= 2 * threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
