"""Which job a user means: by its id, the beginning of its id, its name, or `latest`.

`latest` is the newest job that the user submitted: "show me what I just sent". An evaluation measures such a job, so
only `camq evaluate` itself counts it. Calls of one picture, which a program makes by the thousand, are meant by their
ids alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.contract import CALL_PREFIX
from shared.errors import UnknownJobError, UsageError
from shared.text import did_you_mean

if TYPE_CHECKING:
    from shared.ledger import RedisLedger

LATEST = "latest"
#: The tag of jobs that `camq evaluate` makes.
EVALUATION = "evaluation"
#: Newest jobs among which a beginning or a name is looked for.
LOOKED_AT = 1_000
#: Jobs that a message lists.
_NAMED = 5
#: Jobs that are looked at together for the latest one.
_PAGE = 20


def find_job(ledger: RedisLedger, meant: str, *, evaluations: bool = False) -> str:
    """The id of the job that `meant` means; an id comes before everything else.

    `evaluations`: whether `latest` may be a job of `camq evaluate`.

    UsageError when several jobs are meant, UnknownJobError with the nearest id or name when there is none.
    """
    try:
        return ledger.status(meant).job
    except UnknownJobError as error:
        if meant == LATEST:
            return _latest(ledger, evaluations=evaluations)
        newest = ledger.jobs(LOOKED_AT, calls=meant.startswith(CALL_PREFIX))
        for kind, found in (
            ("begins with", [status.job for status in newest if meant and status.job.startswith(meant)]),
            ("has the name", [status.job for status in newest if meant and status.name == meant]),
        ):
            if len(found) == 1:
                return found[0]
            if found:
                listed = ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if found[_NAMED:] else "")
                raise UsageError(f"more than one job {kind} {meant!r}: {listed}; give the whole id") from None
        words = {name for status in newest for name in (status.job, status.name) if name}
        hint = did_you_mean(meant, sorted(words), most=1)
        if not hint:
            raise
        raise UnknownJobError(f"{str(error).partition('; see ')[0]}{hint}; `camq jobs` lists all") from None


def _latest(ledger: RedisLedger, *, evaluations: bool) -> str:
    before: str | None = None
    while page := ledger.jobs(_PAGE, before=before, calls=False):
        for status in page:
            if evaluations or EVALUATION not in status.tags:
                return status.job
        before = page[-1].job
    if before is None:
        raise UnknownJobError("there is no job yet")
    raise UnknownJobError("there are only evaluations, and none of them is the latest job: `camq jobs` lists their ids")
