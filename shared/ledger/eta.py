"""How fast a job goes and when it will have ended: the one estimate that every page, bar and program shows.

Each commit writes down a few moments of the run (see `commit.lua`), so that one look at the job's record is enough.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from shared.contract import prepare


class Moment(NamedTuple):
    """When it was, and how many images and how many chunks were done by then."""

    at: float
    images: int
    chunks: int


class Pace(msgspec.Struct, frozen=True):
    """What `commit.lua` keeps of a run. `old` is where measuring begins, None while nothing can be measured."""

    at: float
    chunks: int
    old: Moment | None = None


prepare(Pace)


class Estimate(NamedTuple):
    """`rate` in images per second is 0, and `eta_s` is None, as long as nothing is known."""

    rate: float
    eta_s: float | None


def estimate(row: Mapping[str, str], now: float) -> Estimate:
    """The estimate for a job's record. Of a finished run the rate is that of the whole run, from its first claim.

    Cancelled images do not count in the rate: nobody worked on them.
    """
    done = int(row["succeeded"]) + int(row["failed"])
    began, ended = started_at(row), row.get("finished_at")
    mine = done - int(row.get("done_before", 0))
    if ended is not None or "run_at" not in row:  # or another release wrote the record, and kept no moments
        rate = _rate(mine, float(ended or now) - (began or now))
        return Estimate(rate, None if ended or not rate else _left(row, rate))
    pace = msgspec.json.decode(row["pace"], type=Pace) if "pace" in row else None
    if pace is None or pace.old is None:
        return Estimate(0.0, None)
    measured = pace.at - pace.old.at
    between = measured / (pace.chunks - pace.old.chunks)
    # The images of a chunk are counted together. Until the next one is due, the last rate holds; after that it falls.
    rate = _rate(done - pace.old.images, max(measured, now - between - pace.old.at))
    left = _left(row, rate)
    return Estimate(rate, None if left is None else round(max(0.0, left - min(now - pace.at, between)), 1))


def started_at(row: Mapping[str, str]) -> float | None:
    """When the newest run took up its first chunk; of one that was just retried, when that was."""
    found = row.get("run_at") or row.get("started_at")
    return float(found) if found else None


def _rate(images: int, seconds: float) -> float:
    return round(images / seconds, 3) if seconds > 0 else 0.0


def _left(row: Mapping[str, str], rate: float) -> float | None:
    """Seconds for the images that are left. More may come while the job is not sealed, so nobody knows then."""
    left = int(row["total"]) - sum(int(row[state]) for state in ("succeeded", "failed", "cancelled"))
    return round(left / rate, 1) if rate and row["sealed"] == "1" else None
