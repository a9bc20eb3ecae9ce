"""A job's progress until it has finished."""

import time
from collections.abc import Callable, Generator

from shared.contract import JobStatus, WebhookStatus
from shared.errors import UnreachableError
from shared.ledger import RedisLedger
from shared.outage import Outage

#: A worker looks for due webhooks every few seconds, and one try takes at most ten.
_FIRST_TRY_S = 20.0
#: Between two tries to reach a Redis that is away.
_PAUSE_S = 1.0


def follow(
    ledger: RedisLedger, job: str, notice: Callable[[str], None], answered: Callable[[str], object] = lambda _: None
) -> Generator[JobStatus, None, None]:
    """The job's status now, whenever it moved, and at least every second; the last one is final.

    `answered` is called with the `Answer` of a lone picture, if it was heard, as it was sent.

    UnknownJobError and UnreachableError are raised at the start only: later a lost Redis is a notice, the
    last known status repeats, and following goes on when Redis is back.
    """
    status = ledger.status(job)
    yield status
    interrupted = False
    outage = Outage(
        lost=lambda error: notice(f"{error}; waiting for it, the job is not lost"),
        back=lambda: notice("Redis answers again"),
    )
    while not status.state.finished:
        try:
            for _ in ledger.wait_for_news(job, answered):
                status = ledger.status(job)
                outage.answered()
                if status.submission_interrupted and not interrupted:
                    interrupted = True
                    notice(f"the submission of {job} was interrupted: repeat its command with --job-id {job}")
                yield status
                if status.state.finished:
                    return
        except UnreachableError as error:
            outage.failed(error)
            yield status
            time.sleep(_PAUSE_S)


def tried_once(ledger: RedisLedger, job: str) -> WebhookStatus | None:
    """What became of the first try to send a finished job's webhook, waited for as long as one takes.

    For servers that end with the command: nobody would send it later.
    """
    deadline = time.monotonic() + _FIRST_TRY_S
    for _ in ledger.wait_for_news(job):
        hook = ledger.status(job).webhook
        if hook is None or hook.state != "waiting" or hook.reason or time.monotonic() > deadline:
            return hook
    raise AssertionError("news never end")
