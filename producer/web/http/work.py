"""What all routes share: the servers, news of jobs, and threads for what takes long."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from litestar.di import NamedDependency
from starlette.requests import Request

from producer.services import Services
from producer.web.http.news import News
from shared.contract import JobStatus
from shared.errors import UnreachableError

P = ParamSpec("P")
T = TypeVar("T")
#: Submissions, downloads and deletions at once, apart from the threads of quick answers; and how many more may wait.
_AT_ONCE, _MOST_WAITING = 16, 64


class Work:
    """Built once per server."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.news = News(services.ledger)
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def slow(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run it in a thread. UnreachableError when too many wait for one."""
        if self._limiter.statistics().tasks_waiting >= _MOST_WAITING:
            raise UnreachableError(f"the server works on {_AT_ONCE} requests and {_MOST_WAITING} wait: try again")
        return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=self._limiter)

    async def finished(self, job: str, request: Request, most_s: float) -> tuple[JobStatus | None, bool]:
        """The job's final status, None after `most_s` seconds; and whether the client left before."""
        final: JobStatus | None = None
        left = False

        async def listen() -> None:
            nonlocal left
            while (await request.receive())["type"] != "http.disconnect":
                pass
            left = True
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            with anyio.move_on_after(most_s):
                async with aclosing(self.news.statuses(job)) as statuses:
                    final = await _last(statuses)
            group.cancel_scope.cancel()
        return final, left and final is None


async def _last(statuses: AsyncGenerator[JobStatus, Any]) -> JobStatus | None:
    found = None
    async for found in statuses:  # noqa: B007 - the last one is the answer
        pass
    return found


#: How a route asks for it.
Desk = NamedDependency[Work]
