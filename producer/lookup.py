"""Which job a user means: by its id, the beginning of its id, its name, or `latest`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import UnknownJobError, UsageError
from shared.text import did_you_mean

if TYPE_CHECKING:
    from shared.ledger import RedisLedger

LATEST = "latest"
#: Newest jobs among which a beginning or a name is looked for.
LOOKED_AT = 1_000
#: Jobs that a message lists.
_NAMED = 5


def find_job(ledger: RedisLedger, meant: str) -> str:
    """The id of the job that `meant` means; an id comes before everything else.

    UsageError when several jobs are meant, UnknownJobError with the nearest id when there is none.
    """
    try:
        return ledger.status(meant).job
    except UnknownJobError as error:
        newest = ledger.jobs(1 if meant == LATEST else LOOKED_AT)
        if meant == LATEST:
            if not newest:
                raise UnknownJobError("there is no job yet, so none is the latest") from None
            return newest[0].job
        for kind, found in (
            ("begins with", [status.job for status in newest if meant and status.job.startswith(meant)]),
            ("has the name", [status.job for status in newest if meant and status.name == meant]),
        ):
            if len(found) == 1:
                return found[0]
            if found:
                listed = ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if found[_NAMED:] else "")
                raise UsageError(f"more than one job {kind} {meant!r}: {listed}; give the whole id") from None
        hint = did_you_mean(meant, [status.job for status in newest], most=1)
        if not hint:
            raise
        raise UnknownJobError(f"{str(error).partition('; see ')[0]}{hint}; `camq jobs` lists all") from None
